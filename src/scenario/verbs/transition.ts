// The steps `switch`, `tick` and `transition`: tasks try to switch, and which transition runs.
import type { SwitchAnswer, SwitchAttempt } from '../../livepatch/transition.ts';
import type { JsonNode } from '../json.ts';
import type { FileNames, Verb } from '../verb.ts';
import { patchName } from './patch.ts';

const ANSWERS: readonly SwitchAnswer[] = ['ok', 'EBUSY'];
/** Retries that one step may ask for. */
const MAX_TICKS = 100_000;

/** `{"switch":"t1 or *","is":{"t1":"EBUSY"}}`. */
export const switchTask: Verb = {
  keys: ['is'],
  expects: ['is'],
  read(step, names) {
    const node = step.need('switch');
    const chosen = node.name() === '*' ? undefined : [taskName(node, names)];
    const wanted = (step.get('is')?.entries() ?? []).map(([task, one]) => {
      if (!names.tasks.has(task)) throw one.error('ENOENT', `no task '${task}'`);
      return { task, answer: one.oneOf(ANSWERS) };
    });
    return ({ machine }) => {
      const attempts = machine.livepatch.switchTasks(chosen);
      const broken = wanted.flatMap(({ task, answer }) => {
        const got = attempts.find((one) => one.task === task);
        return got?.answer === answer ? [] : [`expected '${task}' to give ${answer}, got ${describe(got)}`];
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

/** `{"transition":null}`, `{"transition":"A","target":"patched","blocked":{"t1":["EBUSY"]}}`. */
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
      .map(([task, one]): SwitchAttempt => {
        const [answer, ...more] = one.array();
        if (answer === undefined || more.length > 0) throw one.error('EINVAL', 'expected ["ERRNO"]');
        return { task, answer: answer.oneOf(ANSWERS) };
      });
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
        const title = (list: readonly SwitchAttempt[]): string => list.map(describe).sort().join(', ') || 'none';
        const got = (running?.left ?? []).filter((one) => one.answer !== 'ok');
        if (title(got) !== title(blocked)) broken.push(`expected blocked ${title(blocked)}, got ${title(got)}`);
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

function describe(attempt: SwitchAttempt | undefined): string {
  if (attempt === undefined) return 'nothing';
  return `${attempt.task} ${attempt.answer}`;
}
