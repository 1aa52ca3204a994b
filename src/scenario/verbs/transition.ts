// The steps `switch`, `tick` and `transition`: tasks try to switch, and which transition runs.

import type { JsonNode } from '../../json.ts';
import type { SwitchAnswer, SwitchAttempt } from '../../livepatch/transition.ts';
import type { FileNames, Verb } from '../verb.ts';
import { patchName } from './patch.ts';

const ANSWERS: readonly SwitchAnswer[] = ['ok', 'EBUSY', 'EINVAL', 'EADDRINUSE'];
/** Retries that one step may ask for. */
const MAX_TICKS = 100_000;

/** `{"switch":"t1 or *","is":{"t1":"EADDRINUSE"},"on":"f"}`. */
export const switchTask: Verb = {
  keys: ['is', 'on'],
  expects: ['is', 'on'],
  read(step, names) {
    const node = step.need('switch');
    const chosen = node.name() === '*' ? undefined : [taskName(node, names)];
    const wanted = (step.get('is')?.entries() ?? []).map(([task, one]) => {
      if (!names.tasks.has(task)) throw one.error('ENOENT', `no task '${task}'`);
      return { task, answer: one.oneOf(ANSWERS) };
    });
    const onNode = step.get('on');
    const on = onNode?.name();
    if (onNode !== undefined && !wanted.some(({ answer }) => answer === 'EADDRINUSE')) {
      throw onNode.error('EINVAL', '"on" names the function of an EADDRINUSE in "is"');
    }
    return ({ machine }) => {
      const attempts = machine.livepatch.switchTasks(chosen);
      const broken = wanted.flatMap(({ task, answer }) => {
        const got = attempts.find((one) => one.task === task);
        const func = answer === 'EADDRINUSE' ? on : undefined;
        if (got?.answer === answer && (func === undefined || got.on === func)) return [];
        return [
          `expected '${title({ task, answer, ...(func === undefined ? {} : { on: func }) })}', got ${describe(got)}`,
        ];
      });
      return { seen: attempts.map(describe).join(', '), broken };
    };
  },
};

/** `{"tick":15}`: so many rounds of the periodic work (L72). */
export const tick: Verb = {
  keys: [],
  expects: [],
  read(step) {
    const count = step.need('tick').count(1, MAX_TICKS);
    return ({ machine }) => {
      machine.livepatch.tick(count);
      return { broken: [] };
    };
  },
};

/** `{"transition":null}`, `{"transition":"A","target":"patched","blocked":{"t1":["EADDRINUSE","f"],"t2":["EBUSY"]}}`. */
export const transition: Verb = {
  keys: ['target', 'blocked'],
  expects: ['transition'],
  read(step, names) {
    const node = step.need('transition');
    const patch = node.value === null ? undefined : patchName(node, names);
    const target = step.get('target')?.oneOf(['patched', 'unpatched']);
    const blocked = step
      .get('blocked')
      ?.entries()
      .map(([task, one]) => readBlocked(task, one));
    return ({ machine }) => {
      const running = machine.livepatch.transition;
      const broken: string[] = [];
      if (running?.patch !== patch) {
        broken.push(`expected a transition of ${patch ?? 'none'}, got ${running?.patch ?? 'none'}`);
      }
      if (target !== undefined && running?.target !== target) {
        broken.push(`expected the target ${target}, got ${running?.target ?? 'none'}`);
      }
      if (blocked !== undefined) {
        const titles = (list: readonly SwitchAttempt[]): string => list.map(title).sort().join(', ') || 'none';
        const got = (running?.left ?? []).filter((one) => one.answer !== 'ok');
        if (titles(got) !== titles(blocked)) broken.push(`expected blocked ${titles(blocked)}, got ${titles(got)}`);
      }
      const seen = running === undefined ? 'none' : `'${running.patch}' to ${running.target}`;
      return { seen, broken };
    };
  },
};

function taskName(node: JsonNode, names: FileNames): string {
  const name = node.name();
  if (!names.tasks.has(name)) throw node.error('ENOENT', `no task '${name}' in $.machine.tasks, nor added before`);
  return name;
}

/** `["ERRNO"]`, or `["EADDRINUSE", "f"]`. */
function readBlocked(task: string, node: JsonNode): SwitchAttempt {
  const [errno, func, ...more] = node.array();
  const answer = errno?.oneOf(ANSWERS);
  const sleeping = answer === 'EADDRINUSE';
  if (answer === undefined || answer === 'ok' || more.length > 0 || sleeping !== (func !== undefined)) {
    throw node.error('EINVAL', 'expected ["EBUSY"], ["EINVAL"] or ["EADDRINUSE", "function"]');
  }
  return { task, answer, ...(func === undefined ? {} : { on: func.name() }) };
}

/** What is compared. */
function title({ task, answer, on }: SwitchAttempt): string {
  return on === undefined ? `${task} ${answer}` : `${task} ${answer} on ${on}`;
}

function describe(attempt: SwitchAttempt | undefined): string {
  if (attempt === undefined) return 'nothing';
  return attempt.why === undefined ? title(attempt) : `${title(attempt)} (${attempt.why})`;
}
