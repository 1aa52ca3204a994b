// Every order in which livepatch, tracers, a direct call, function graph and kprobes come and go on one site, against a plain model.
import { expect, test } from 'vitest';
import { TrampolineError } from '../../src/errors.ts';
import { callBytes, NOP5 } from '../../src/ftrace/site.ts';
import type { MachineOptions } from '../../src/machine.ts';
import { randomIntegers } from '../core/random.ts';
import { SiteModel, type Step, type UserName } from './sharing-model.ts';
import { TracerWorld } from './tracer-world.ts';

const SEED = Number(process.env.FTRACE_SEED ?? 64_021);
const SEQUENCES = Number(process.env.FTRACE_SEQUENCES ?? 60);

const FILTER = { filter: ['checksum'] };
const SPECS = {
  a: { name: 'a', ...FILTER, target: 't:on_a' },
  b: { name: 'b', ...FILTER, target: 't:on_b', flags: ['SAVE_REGS'] },
  d: { name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one', opsFunc: () => 0 },
  g: { name: 'g', kind: 'graph', ...FILTER, target: 't:graph_entry', postTarget: 't:graph_return' },
  k: { name: 'k', kind: 'kprobe', ...FILTER, target: 't:pre_handler' },
  q: { name: 'q', kind: 'kprobe', ...FILTER, postTarget: 't:post_handler' },
} as const;
const NAMES = Object.keys(SPECS) as UserName[];

/** Sequences in which every kind of step is about as likely, so that refusals are met as well. */
function sequenceOf(seed: number): Step[] {
  const random = randomIntegers(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  return Array.from({ length: 12 + random(20) }, (): Step => {
    const choice = random(20);
    if (choice < 8) return { kind: 'add', name: pick(NAMES) };
    if (choice < 13) return { kind: 'remove', name: pick(NAMES) };
    if (choice < 16) return { kind: 'enable', patch: pick(['fix_a', 'fix_b']) };
    if (choice < 18) return { kind: 'disable', patch: pick(['fix_a', 'fix_b']) };
    return { kind: 'sysctl', on: random(3) > 0 };
  });
}

/** A step as a scenario has it. */
function scenarioStep(step: Step): object {
  if (step.kind === 'sysctl') return { sysctl: 'kernel.ftrace_enabled', write: step.on ? 1 : 0 };
  if ('patch' in step) return { [step.kind]: step.patch };
  if (step.kind === 'remove') return { ftrace: 'remove', name: step.name };
  const { opsFunc, ...spec } = { opsFunc: undefined, ...SPECS[step.name] } as { opsFunc?: unknown };
  return { ftrace: 'add', ...spec, ...(opsFunc === undefined ? {} : { flags: ['SHARE_IPMODIFY'] }) };
}

/** A machine that sequences are run on; each leaves it as it was. */
class Subject {
  readonly world: TracerWorld;
  readonly #site: bigint;
  /** How often each thing was seen, so that the test is known to have met it. */
  readonly seen = new Map<string, number>();

  constructor(world: TracerWorld) {
    this.world = world;
    this.#site = world.site('checksum');
  }

  /** Runs a sequence; returns what was wrong, or undefined. */
  run(steps: readonly Step[]): string | undefined {
    const model = new SiteModel();
    try {
      for (const step of steps) {
        const wrong = this.#do(model, step);
        if (wrong !== undefined) return `${JSON.stringify(scenarioStep(step))}: ${wrong}`;
      }
    } finally {
      for (const step of model.undo()) this.#act(step);
    }
    return hexOf(this.world.bytes()) === hexOf(NOP5) ? undefined : 'the site is no NOP5 at the end';
  }

  #do(model: SiteModel, step: Step): string | undefined {
    const wanted = model.do(step);
    const got = this.#act(step);
    if (got !== wanted) return `expected ${wanted}, got ${got}`;
    this.#note(wanted ?? 'done');
    const { notes, runs, calls, order } = model.expected();
    this.#note(calls);
    const record = this.world.record();
    if (record.users.join() !== order.join()) return `expected the users ${order}, got ${record.users}`;
    const there = hexOf(this.world.bytes());
    const target = this.#target(calls, record.calls);
    if (there !== hexOf(target === undefined ? NOP5 : callBytes(this.#site, target))) return `the site holds ${there}`;
    const ran = this.world.call();
    if (ran !== runs) return `expected ${runs} to run, got ${ran}`;
    const who = this.world.who();
    if (who !== notes) return `expected the notes ${notes}, got ${who}`;
    model.called();
    return this.#counts(model);
  }

  #counts(model: SiteModel): string | undefined {
    const { tracers } = this.world.machine;
    for (const name of tracers.names as UserName[]) {
      const { calls, returns } = tracers.counts(name);
      if (calls !== BigInt(model.counts[name])) return `expected ${model.counts[name]} calls of ${name}, got ${calls}`;
      if (name === 'g' && returns !== calls) return `${calls} calls of g, but ${returns} returns`;
    }
    return undefined;
  }

  /** Where a call of this kind goes; an ops' own trampoline is what no other thing is. */
  #target(calls: string, recorded: bigint | undefined): bigint | undefined {
    const { callers } = this.world.machine.ftrace;
    if (calls === 'nop') return undefined;
    if (calls === 'direct') return this.world.machine.address('t:direct_one');
    if (calls === 'args' || calls === 'regs') return callers.caller[calls];
    const others = [callers.caller.args, callers.caller.regs, this.world.machine.address('t:direct_one')];
    return recorded !== undefined && others.includes(recorded) ? 0n : recorded;
  }

  /** Does a step; returns the code of its refusal. */
  #act(step: Step): string | undefined {
    const { tracers, livepatch, ftrace } = this.world.machine;
    try {
      if (step.kind === 'sysctl') ftrace.setEnabled(step.on);
      else if ('patch' in step) {
        if (step.kind === 'disable') livepatch.disable(step.patch);
        else this.world.patch(step.patch.slice(-1));
      } else if (step.kind === 'add') tracers.add(SPECS[step.name]);
      else tracers.remove(step.name);
      return undefined;
    } catch (error) {
      if (error instanceof TrampolineError) return error.code;
      throw error;
    }
  }

  #note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}

const hexOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** Leaves steps out while what is left still fails. */
async function shrink(
  steps: readonly Step[],
  fails: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  let left = steps;
  for (let at = left.length - 1; at >= 0; at--) {
    const fewer = left.filter((_, i) => i !== at);
    if (await fails(fewer)) left = fewer;
  }
  return left;
}

test.each([
  { engine: 'wasm', handler: 'core', kernel: '6.12', share: 1 },
  { engine: 'wasm', handler: 'guest', kernel: '6.1', share: 1 },
  { engine: 'unicorn', handler: 'guest', kernel: '6.12', share: 0.1 },
  { engine: 'unicorn', handler: 'core', kernel: '6.1', share: 0.1 },
] as const)(
  `users of one site come and go in any order on $engine, $kernel, handler $handler (F33–F43, F47; seed ${SEED})`,
  async ({ share, ...options }) => {
    const make = async (more: MachineOptions): Promise<Subject> => new Subject(await TracerWorld.make(more));
    const subject = await make(options);
    for (let i = 0; i < Math.max(4, SEQUENCES * share); i++) {
      const steps = sequenceOf(SEED + i);
      const wrong = subject.run(steps);
      if (wrong === undefined) continue;
      const least = await shrink(steps, async (fewer) => {
        const fresh = await make(options);
        const still = fresh.run(fewer);
        fresh.world.machine.dispose();
        return still !== undefined;
      });
      expect.fail(`seed ${SEED + i}: ${wrong}\n"steps": ${JSON.stringify(least.map(scenarioStep), undefined, 1)}`);
    }
    if (share === 1) {
      const kinds = ['done', 'EBUSY', 'EEXIST', 'ENOENT', 'EINVAL', 'nop', 'own', 'direct', 'args', 'regs'];
      expect(kinds.filter((kind) => (subject.seen.get(kind) ?? 0) < 5)).toEqual([]);
    }
    subject.world.machine.dispose();
  },
  120_000,
);
