// The verbs a step may have: one row each. A new verb is a module in verbs/ and a row here.
import { ERRNO, type ErrnoName } from '../errors.ts';
import type { JsonNode } from '../json.ts';
import type { Step } from './scenario.ts';
import type { FileNames, Verb } from './verb.ts';
import { call } from './verbs/call.ts';
import { ftrace } from './verbs/ftrace.ts';
import { inject } from './verbs/inject.ts';
import { log, say } from './verbs/log.ts';
import { load, unload } from './verbs/module.ts';
import { disable, enable, force, patches, register, reverse, unregister } from './verbs/patch.ts';
import { set } from './verbs/set.ts';
import { shadow } from './verbs/shadow.ts';
import { site } from './verbs/site.ts';
import { stack } from './verbs/stack.ts';
import { state } from './verbs/state.ts';
import { sysctl, sysfs } from './verbs/sysfs.ts';
import { task } from './verbs/task.ts';
import { switchTask, tick, transition } from './verbs/transition.ts';

const VERBS: ReadonlyMap<string, Verb> = new Map(
  Object.entries({
    ...{ call, enable, disable, reverse, force, load, unload, site, stack, patches, task, transition, tick },
    ...{ register, unregister, switch: switchTask, sysfs, sysctl, set, state, shadow, say, log, inject, ftrace },
  }),
);

/**
 * Reads one step.
 *
 * @throws {ScenarioError} EINVAL no verb or several, an unknown key, a wrong value
 */
export function readStep(node: JsonNode, names: FileNames): Step {
  const [word, verb] = verbOf(node);
  node.keys([word, ...verb.keys, 'note', 'fails']);
  const fails = readErrno(node.get('fails'));
  const contradiction = fails && verb.expects.map((key) => node.get(key)).find((found) => found !== undefined);
  if (contradiction) throw contradiction.error('EINVAL', `a step that fails with ${fails} has nothing else to expect`);
  return {
    source: node.value,
    verb: word,
    note: node.get('note')?.string(),
    fails,
    functions: verb.functions?.(node) ?? [],
    act: verb.read(node, names),
  };
}

function verbOf(node: JsonNode): [string, Verb] {
  const keys = node.keyNames();
  // `task` says who calls where it stands beside `call`
  const words = keys.filter((key) => VERBS.has(key) && !(key === 'task' && keys.includes('call')));
  const [word] = words;
  const verb = word === undefined ? undefined : VERBS.get(word);
  if (word === undefined || verb === undefined) {
    const known = [...VERBS.keys()].join(', ');
    throw node.error('EINVAL', `a step needs a verb, one of ${known}; got ${keys.join(', ') || 'no keys'}`);
  }
  if (words.length > 1) throw node.error('EINVAL', `a step has one verb, not ${words.length}: ${words.join(', ')}`);
  return [word, verb];
}

function readErrno(node: JsonNode | undefined): ErrnoName | undefined {
  return node?.oneOf(Object.keys(ERRNO) as ErrnoName[]);
}
