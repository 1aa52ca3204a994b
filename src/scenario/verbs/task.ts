// The step `task`: a task comes, goes, runs on another CPU, or goes on with the call in which it is parked.

import type { JsonNode } from '../../json.ts';
import { RESULT_KEYS, readResult } from '../call-result.ts';
import { placeOf } from '../names.ts';
import type { Guest, Outcome } from '../scenario.ts';
import type { FileNames, Verb } from '../verb.ts';

const KINDS = ['add', 'exit', 'onCpu', 'resume'] as const;

/**
 * `{"task":"t1","add":{"fork":"t0","kthread":false}}`, `{"task":"t1","exit":true}`, `{"task":"t1","onCpu":true}`,
 * `{"task":"t1","resume":true,"runs":"…","returns":1}`, `{"task":"t1","resume":true,"until":"g+0x1a"}`.
 */
export const task: Verb = {
  keys: [...KINDS, 'until', ...RESULT_KEYS],
  expects: [...RESULT_KEYS],
  read(step, names) {
    const node = step.need('task');
    const name = node.name();
    const words = KINDS.filter((key) => step.get(key) !== undefined);
    const [kind] = words;
    if (kind === undefined || words.length !== 1) {
      throw step.error('EINVAL', `a task step has one of ${KINDS.map((one) => `"${one}"`).join(', ')}`);
    }
    for (const key of kind === 'resume' ? [] : ['until', ...RESULT_KEYS]) {
      const extra = step.get(key);
      if (extra !== undefined) throw extra.error('EINVAL', `'${key}' goes with "resume" only`);
    }
    if (kind === 'add') return readAdd(name, step.need('add'), names);
    if (!names.tasks.has(name)) throw node.error('ENOENT', `no task '${name}' in $.machine.tasks, nor added before`);
    const value = step.need(kind).boolean();
    if (kind !== 'onCpu' && !value) throw step.need(kind).error('EINVAL', 'expected true');
    if (kind === 'resume') return readResume(name, step);
    return ({ machine }) => {
      if (kind === 'exit') machine.tasks.exit(name);
      else machine.tasks.need(name).onCpu = value;
      // the others may be done now
      machine.livepatch.settle();
      return { broken: [] };
    };
  },
};

function readAdd(name: string, add: JsonNode, names: FileNames): (guest: Guest) => Outcome {
  add.keys(['fork', 'kthread']);
  const fork = add.get('fork');
  if (fork !== undefined && !names.tasks.has(fork.name())) {
    throw fork.error('ENOENT', `no task '${fork.name()}' in $.machine.tasks, nor added before`);
  }
  const kthread = add.get('kthread')?.boolean();
  names.tasks.add(name);
  return ({ machine }) => {
    machine.tasks.add(name, fork?.name(), kthread);
    return { broken: [] };
  };
}

/** Goes on to the return, or to where the task parks again. */
function readResume(name: string, step: JsonNode): (guest: Guest) => Outcome {
  const until = step.get('until');
  until?.name();
  const extra = until && RESULT_KEYS.map((key) => step.get(key)).find((found) => found !== undefined);
  if (extra) throw extra.error('EINVAL', 'a call that parks again has no result yet');
  const judgeOf = readResult(step);
  return ({ machine }) => {
    if (until !== undefined) {
      const at = machine.resumeUntil(name, placeOf(machine, until));
      return { seen: `parked at ${at.name}+0x${at.offset.toString(16)}`, broken: [] };
    }
    const judge = judgeOf(machine);
    const result = machine.resume(name);
    const broken = [...judge.runs(result), ...judge.rest(result)];
    // its stack is empty now
    machine.livepatch.settle();
    const { returns, instructions } = result;
    return { runs: result.runs.name, returns, instructions, seen: 'its call has returned', broken };
  };
}
