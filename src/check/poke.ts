// Judges a patch protocol: whatever another CPU sees of the site meanwhile, it must run the old code or the new.
import { ADDRESS_LIMIT, address as checkedAddress, hex, hexBytes, PAGE_SIZE, wrap } from '../address.ts';
import { TrampolineBytesError } from '../errors.ts';
import { factsAt } from '../x86/operands.ts';
import type { EngineMaker } from './execute.ts';
import { type Finding, finding, type Judgement, located } from './finding.ts';
import { type Cpu, keyOf, PokeCpu } from './poke-cpu.ts';
import {
  isWhole,
  MAX_SITE,
  type Phase,
  type PokeStep,
  PROTOCOLS,
  type Protocol,
  phasesOf,
  stepsOf,
} from './poke-protocol.ts';
import { emulate } from './poke-trap.ts';
import type { RuleNumber } from './rules.ts';
import { stateAt } from './states.ts';
import type { State } from './world.ts';

/** A site, what it becomes, and how. */
export interface PokeQuestion {
  readonly address: bigint;
  readonly oldBytes: Uint8Array;
  /** As many as the old ones. */
  readonly newBytes: Uint8Array;
  /** A known protocol, or the steps one by one. */
  readonly protocol: Protocol | readonly PokeStep[];
}

/** How much was searched. */
export interface PokeSize {
  /** Moments between steps, the one before the first included. */
  readonly phases: number;
  /** Memory images, summed over the phases. */
  readonly images: number;
  /** Places where a CPU may stand, summed over the phases. */
  readonly places: number;
  /** Instructions executed on the engine. */
  readonly executed: number;
}

/** The verdict, and the size of the search. */
export interface PokeJudgement extends Judgement {
  readonly size: PokeSize;
}

const STATES = 3;
const SEED = 0x706f6b65;
/** The most instructions one judgement executes. */
const MAX_EXECUTED = 200_000;
const STATUS_FLAGS = 0x8d5n;

/** A CPU on its way through the site; `trace` holds the calls it has made from inside. */
interface Place {
  readonly cpu: Cpu;
  readonly trace: string;
  /** In a call that returns into the site. */
  readonly inCall: boolean;
}

interface Torn {
  readonly rule: RuleNumber;
  readonly why: string;
  readonly image: Uint8Array;
  readonly cpu: Cpu;
}

/**
 * Judges a poke (C40–C43, C45): for each moment, each image that another CPU may see then, and each place where a CPU may
 * stand that has entered the old or the new code, executes the next instruction on the engine. All ways through the site
 * must end as the old code or the new does, registers and memory included; a trap must find the handler, which emulates
 * the new instruction (F17). The search is exhaustive over images and places, from 3 register states.
 *
 * @throws {TrampolineBytesError} EINVAL no bytes, different lengths, a store outside the site, or no room after it
 * @throws {EngineError} the site lies where no memory can be
 */
export async function judgePoke(question: PokeQuestion, engines: EngineMaker): Promise<PokeJudgement> {
  const { address, oldBytes } = question;
  const code = [{ address, bytes: oldBytes }];
  return located(await judge(question, engines), { mode: { bitness: 64 }, base: address, entry: address, code });
}

async function judge(question: PokeQuestion, engines: EngineMaker): Promise<PokeJudgement> {
  const { address, oldBytes, newBytes, protocol } = question;
  checkQuestion(question);
  const steps = typeof protocol === 'string' ? stepsOf(protocol, newBytes) : protocol;
  let phases: Phase[];
  try {
    phases = phasesOf(address, oldBytes, steps);
  } catch (error) {
    if (!(error instanceof TrampolineBytesError) || error.code !== 'EOVERFLOW') throw error;
    return { verdict: 'not-judged', reason: error.message, findings: [], size: { ...NOTHING } };
  }
  const [engine] = await engines();
  const cpu = new PokeCpu(engine, address, oldBytes.length);
  const search = new Search(question, steps, phases, cpu);
  try {
    for (let i = 0; i < STATES && search.goesOn; i++) search.from(startState(i));
    return search.answer();
  } finally {
    cpu.close();
  }
}

const NOTHING: PokeSize = { phases: 0, images: 0, places: 0, executed: 0 };

function checkQuestion({ address, oldBytes, newBytes, protocol }: PokeQuestion): void {
  const options = { operation: 'check poke', offset: 0, bytes: newBytes, rule: 'C42' };
  if (checkedAddress(address, 'address') > ADDRESS_LIMIT - 2n * PAGE_SIZE) {
    throw new TrampolineBytesError('EINVAL', `no room after the site at ${hex(address)}`, options);
  }
  if (oldBytes.length === 0 || oldBytes.length > MAX_SITE) {
    throw new TrampolineBytesError('EINVAL', `a site has 1 to ${MAX_SITE} bytes, not ${oldBytes.length}`, options);
  }
  if (oldBytes.length !== newBytes.length) {
    const fact = `${newBytes.length} new bytes cannot replace ${oldBytes.length} old ones`;
    throw new TrampolineBytesError('EINVAL', fact, options);
  }
  if (typeof protocol === 'string' && !PROTOCOLS.includes(protocol)) {
    throw new TrampolineBytesError('EINVAL', `no protocol '${protocol}'; use ${PROTOCOLS.join(', ')}`, options);
  }
}

/** All flags clear, all set, and a mixture, so that conditional branches go both ways. */
function startState(index: number): State {
  const state = stateAt(index + 12, SEED);
  return { ...state, rflags: index === 0 ? 2n : index === 1 ? STATUS_FLAGS | 2n : state.rflags };
}

/** The search from all states, and what it has found. */
class Search {
  readonly #question: PokeQuestion;
  readonly #steps: readonly PokeStep[];
  readonly #phases: readonly Phase[];
  readonly #cpu: PokeCpu;
  readonly #end: bigint;
  #torn: Torn | undefined;
  /** Why not all is proved; a torn state found in spite of it still counts. */
  #unjudged: string | undefined;
  #ended = false;
  #places = 0;
  #right = new Set<string>();
  /** Where instructions of the old or the new code begin inside the site. */
  readonly #boundaries = new Set<bigint>();

  constructor(question: PokeQuestion, steps: readonly PokeStep[], phases: readonly Phase[], cpu: PokeCpu) {
    this.#question = question;
    this.#steps = steps;
    this.#phases = phases;
    this.#cpu = cpu;
    this.#end = question.address + BigInt(question.oldBytes.length);
  }

  get goesOn(): boolean {
    return this.#torn === undefined && !this.#ended;
  }

  /** Searches all phases for a CPU that comes to the site in `state`. */
  from(state: State): void {
    const { address, oldBytes, newBytes } = this.#question;
    const entry: Place = { cpu: { rip: address, state, written: new Map() }, trace: '', inCall: false };
    const right = [this.#alone(entry, oldBytes), this.#alone(entry, newBytes)];
    this.#ended = right.includes(undefined);
    if (this.#ended) return;
    this.#right = new Set(right.map((end) => end ?? ''));
    // whoever stands inside the site stays there over any number of steps
    const standing = new Map<string, Place>([[keyOfPlace(entry), entry]]);
    for (const [index, phase] of this.#phases.entries()) {
      const todo = [...standing.values()];
      for (let place = todo.pop(); place !== undefined; place = todo.pop()) {
        this.#places++;
        for (const next of this.#onward(place, phase, index)) {
          const key = keyOfPlace(next);
          if (standing.has(key)) continue;
          standing.set(key, next);
          todo.push(next);
        }
        if (!this.goesOn) return;
      }
    }
  }

  /** How the site ends when it holds `image` and nobody pokes; undefined where the engine cannot tell. */
  #alone(entry: Place, image: Uint8Array): string | undefined {
    let place = entry;
    for (let i = 0; i < 1000; i++) {
      if (place.inCall) place = this.#returned(place);
      this.#boundaries.add(place.cpu.rip);
      const next = this.#step(place, image);
      if (next === undefined) return undefined;
      if (typeof next === 'string') return next;
      place = next;
    }
    this.#unjudged = 'the site does not end when nobody pokes it';
    return undefined;
  }

  /** Where a CPU may be after one more instruction, under each image of the phase; torn states are kept. */
  #onward(place: Place, phase: Phase, index: number): Place[] {
    if (place.inCall) return [this.#returned(place)];
    const found: Place[] = [];
    for (const image of phase.images) {
      if (this.#cpu.steps > MAX_EXECUTED) {
        this.#unjudged = `more than ${MAX_EXECUTED} instructions to execute`;
        this.#ended = true;
        return [];
      }
      const offset = Number(place.cpu.rip - this.#question.address);
      const next = this.#isPoked(image, offset) ? this.#trap(place, phase) : this.#step(place, image);
      if (next === undefined) continue; // another image may still show a torn state
      if (typeof next !== 'string' && (next.inCall || this.#boundaries.has(next.cpu.rip))) found.push(next);
      else if (typeof next !== 'string' || !this.#right.has(next)) {
        this.#torn = this.#describe(place, phase, index, image, next);
        return [];
      }
    }
    return found;
  }

  /** An int3 that belongs neither to the old code nor to the new. */
  #isPoked(image: Uint8Array, offset: number): boolean {
    const { oldBytes, newBytes } = this.#question;
    return image[offset] === 0xcc && oldBytes[offset] !== 0xcc && newBytes[offset] !== 0xcc;
  }

  /** F17: the handler knows one address, and emulates what will stand there. */
  #trap(place: Place, phase: Phase): Place | string {
    const { address, newBytes } = this.#question;
    if (!phase.handled || place.cpu.rip !== address) return 'trap without a handler';
    const emulated = emulate(place.cpu, newBytes, address, this.#cpu);
    if (emulated === undefined) return 'trap that the handler cannot emulate';
    return this.#settled(place.trace, emulated.cpu, emulated.pushed);
  }

  #step(place: Place, image: Uint8Array): Place | string | undefined {
    const stepped = this.#cpu.step(place.cpu, image);
    if ('unjudged' in stepped) {
      this.#unjudged ??= stepped.unjudged;
      return undefined;
    }
    if ('end' in stepped) return `${place.trace}${stepped.end}`;
    return this.#settled(place.trace, stepped.cpu, stepped.pushed);
  }

  /** Still inside the site, or away for good (as text). */
  #settled(trace: string, cpu: Cpu, pushed: bigint | undefined): Place | string {
    if (this.#inside(cpu.rip)) return { cpu, trace, inCall: false };
    const away = `${trace}${keyOf(cpu)}\n`;
    return pushed !== undefined && this.#inside(pushed) ? { cpu, trace: away, inCall: true } : away;
  }

  #returned(place: Place): Place {
    return { cpu: this.#cpu.popped(place.cpu), trace: place.trace, inCall: false };
  }

  #inside(rip: bigint): boolean {
    return wrap(rip) >= this.#question.address && rip < this.#end;
  }

  #describe(place: Place, phase: Phase, index: number, image: Uint8Array, end: Place | string): Torn {
    const { address } = this.#question;
    const { cpu } = place;
    const { rip } = cpu;
    const isTrap = typeof end === 'string' && end.startsWith('trap ');
    const inside = rip !== address;
    const rule = isTrap && !inside ? 'C41' : inside ? 'C43' : this.#tornRule(index);
    const what = isTrap ? `a ${end}` : 'neither the old code nor the new';
    const where = inside ? `a CPU that stood at +${rip - address}` : 'a CPU that enters the site';
    return { rule, why: `after ${phase.after}, ${where} sees ${hexBytes(image)}: ${what}`, image, cpu };
  }

  /** Which rule a torn entry breaks: a single store that is not whole, the order of int3 steps, or any other tear. */
  #tornRule(index: number): RuleNumber {
    const { address } = this.#question;
    const step = this.#steps[index - 1];
    if (step !== undefined && 'store' in step && step.store.single === true) {
      const { offset, bytes } = step.store;
      if (!isWhole(address + BigInt(offset), bytes.length)) return 'C40';
    }
    return this.#steps.some((one) => 'handler' in one) ? 'C41' : 'C42';
  }

  answer(): PokeJudgement {
    const { address, newBytes } = this.#question;
    const images = this.#phases.reduce((sum, phase) => sum + phase.images.length, 0);
    const size = { phases: this.#phases.length, images, places: this.#places, executed: this.#cpu.steps };
    const searched = `${size.phases} moments, ${images} images, ${size.places} places, ${size.executed} executions`;
    if (this.#torn !== undefined) {
      const { rule, why, image, cpu } = this.#torn;
      const { rip, state } = cpu;
      const at = factsAt(image.subarray(Number(rip - address)), rip, { bitness: 64 });
      const code = [{ address, bytes: image }];
      const memory = this.#cpu.record(cpu, image);
      const shown = finding(rule, 'error', why, { at, base: address, state, entry: rip, code, memory });
      return { verdict: 'broken', reason: why, findings: [shown], size };
    }
    const unfinished = this.#unfinished(newBytes);
    if (unfinished !== undefined) {
      return { verdict: 'broken', reason: unfinished.message, findings: [unfinished], size };
    }
    if (this.#unjudged !== undefined) {
      return { verdict: 'not-judged', reason: this.#unjudged, findings: [], size };
    }
    return { verdict: 'equivalent', reason: `old or new everywhere: ${searched}`, findings: [], size };
  }

  /** C45: when the protocol is over, every CPU must see the new bytes and nothing else. */
  #unfinished(newBytes: Uint8Array): Finding | undefined {
    const last = this.#phases.at(-1)?.images ?? [];
    const other = last.find((image) => hexBytes(image) !== hexBytes(newBytes));
    if (other === undefined) return undefined;
    const why = `at the end a CPU may still see ${hexBytes(other)} instead of ${hexBytes(newBytes)}`;
    const { address } = this.#question;
    const at = factsAt(other, address, { bitness: 64 });
    return finding('C45', 'error', why, { at, base: address, entry: address, code: [{ address, bytes: other }] });
  }
}

function keyOfPlace({ cpu, trace, inCall }: Place): string {
  return `${trace}${inCall} ${keyOf(cpu)}`;
}
