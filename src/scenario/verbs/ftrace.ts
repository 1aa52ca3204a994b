// The step `ftrace`: users of ftrace beside livepatch: adding and removing them, their filters, and what they counted.
import type { OpsFlag } from '../../ftrace/ops.ts';
import type { TracerCounts, TracerKind } from '../../ftrace/tracer-spec.ts';
import type { JsonNode } from '../../json.ts';
import type { Machine } from '../../machine.ts';
import type { Outcome } from '../scenario.ts';
import type { Verb } from '../verb.ts';

const WORDS = ['add', 'remove', 'filter', 'counts'] as const;
const KINDS: readonly TracerKind[] = ['ops', 'direct', 'graph', 'kprobe'];
const FLAGS: readonly OpsFlag[] = ['SAVE_REGS', 'IPMODIFY', 'PERMANENT', 'RECURSION'];
/** Of a direct call: it agrees to share a function with a livepatch (F41). */
const SHARE = 'SHARE_IPMODIFY';

/** Keys that go with each word. */
const KEYS: Readonly<Record<(typeof WORDS)[number], readonly string[]>> = {
  add: ['name', 'kind', 'filter', 'notrace', 'flags', 'target', 'postTarget'],
  remove: ['name'],
  filter: ['name', 'filter', 'notrace'],
  counts: ['is'],
};

/**
 * `{"ftrace":"add","name":"t","kind":"ops|direct|graph|kprobe","filter":["f*"],"notrace":[],"flags":["SAVE_REGS"],
 * "target":"image:symbol","postTarget":"image:symbol"}`, `{"ftrace":"filter","name":"t","filter":["g"],"notrace":[]}`,
 * `{"ftrace":"remove","name":"t"}`, `{"ftrace":"counts","is":{"t":3,"g":{"calls":3,"returns":3,"missed":0}}}`.
 */
export const ftrace: Verb = {
  keys: [...new Set(Object.values(KEYS).flat())],
  expects: ['is'],
  functions: (step) => ['target', 'postTarget'].flatMap((key) => step.get(key) ?? []),
  read(step) {
    const word = step.need('ftrace').oneOf(WORDS);
    for (const key of new Set(Object.values(KEYS).flat())) {
      const node = step.get(key);
      if (node !== undefined && !KEYS[word].includes(key)) {
        throw node.error('EINVAL', `'${key}' does not go with '${word}'`);
      }
    }
    return { add: readAdd, remove: readRemove, filter: readFilter, counts: readCounts }[word](step);
  },
};

type Act = (guest: { readonly machine: Machine }) => Outcome;

function readAdd(step: JsonNode): Act {
  const kind = step.get('kind')?.oneOf(KINDS) ?? 'ops';
  const flags = (step.get('flags')?.array() ?? []).map((node) => node.oneOf([...FLAGS, SHARE]));
  const [target, postTarget] = [step.get('target')?.name(), step.get('postTarget')?.name()];
  const share = flags.includes(SHARE);
  if (share && kind !== 'direct') throw step.need('flags').error('EINVAL', `'${SHARE}' goes with "kind": "direct"`);
  const spec = {
    ...{ name: step.need('name').name(), kind, filter: patterns(step.get('filter')) },
    notrace: patterns(step.get('notrace')),
    flags: flags.filter((flag): flag is OpsFlag => flag !== SHARE),
    ...(target === undefined ? {} : { target }),
    ...(postTarget === undefined ? {} : { postTarget }),
    ...(share ? { opsFunc: () => 0 } : {}),
  };
  return ({ machine }) => {
    machine.tracers.add(spec);
    return seen(machine, spec.name);
  };
}

function readRemove(step: JsonNode): Act {
  const name = step.need('name').name();
  return ({ machine }) => {
    machine.tracers.remove(name);
    return { broken: [] };
  };
}

function readFilter(step: JsonNode): Act {
  const name = step.need('name').name();
  const [filter, notrace] = [patterns(step.need('filter')), patterns(step.get('notrace'))];
  return ({ machine }) => {
    machine.tracers.setFilter(name, filter, notrace);
    return seen(machine, name);
  };
}

function readCounts(step: JsonNode): Act {
  const wanted = step
    .need('is')
    .entries()
    .map(([name, node]) => ({ name, expected: readCount(node) }));
  return ({ machine }) => {
    const broken = wanted.flatMap(({ name, expected }) => {
      const counts = machine.tracers.counts(name);
      return Object.entries(expected).flatMap(([key, value]) => {
        const got = counts[key as keyof TracerCounts];
        return got === value ? [] : [`expected '${name}' to have ${key} ${value}, got ${got}`];
      });
    });
    const all = machine.tracers.names.map((name) => `${name} ${machine.tracers.counts(name).calls}`);
    return { seen: all.join(', '), broken };
  };
}

/** A number of calls, or some of the three counts. */
function readCount(node: JsonNode): Partial<TracerCounts> {
  if (!node.isObject()) return { calls: node.integer() };
  node.keys(['calls', 'returns', 'missed']);
  return Object.fromEntries(node.entries().map(([key, value]) => [key, value.integer()]));
}

function patterns(node: JsonNode | undefined): string[] {
  return (node?.array() ?? []).map((one) => one.name());
}

function seen(machine: Machine, name: string): Outcome {
  const count = machine.tracers.sites(name).length;
  return { seen: count === 0 ? 'no function yet, or all' : `${count} functions`, broken: [] };
}
