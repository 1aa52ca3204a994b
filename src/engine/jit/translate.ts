// Turns the blocks of a trace into the body of a WebAssembly function: (left) → what is left of the budget.
//
// Registers are values, not places: a register that is saved to the frame and restored from it costs its store only. The
// function leaves with all of them stored, rip set, and exactly the instructions retired that were executed.
import { type Code, I32, I64 } from './code.ts';
import { FlagReader, type Flags, type Size } from './flags.ts';
import type { Layout } from './layout.ts';
import { type Point, TraceMemory } from './memory.ts';
import { type Block, TRAMPOLINE } from './ops.ts';
import { TraceValues } from './trace-values.ts';
import { translateOp } from './translate-op.ts';
import { constant, RCX, RDI, RSP, type Value } from './values.ts';

/** What is compiled: the blocks in the order in which they ran, and where the last one went. */
export interface Trace {
  readonly blocks: readonly Block[];
  readonly next: bigint;
  /** The gate's address; undefined where there is none. */
  readonly gate: bigint | undefined;
}

/** What a first pass learns and a second one uses. */
export interface Facts {
  /** Lowest offset and end of what is touched of the frame. */
  readonly low: number;
  readonly high: number;
  /** It ends where it began: the registers and flags that differ then. */
  readonly loops: boolean;
  readonly changed: ReadonlySet<number>;
  readonly flagsChanged: boolean;
  /** Registers, and whether flags, that are read as they are at the head. */
  readonly used: ReadonlySet<number>;
  readonly flagsUsed: boolean;
}

/** One pass. */
export interface Body extends Facts {
  readonly code: Code;
  /** Instructions from the head to the end: what the budget must hold. */
  readonly longest: number;
  /** Blocks of which at least one instruction is in it. */
  readonly blocks: number;
}

export const NO_FACTS: Facts = {
  low: 0,
  high: 0,
  loops: false,
  changed: new Set(),
  flagsChanged: false,
  used: new Set(),
  flagsUsed: false,
};

/** Offset of ip in pt_regs (C24). */
const REGS_IP = 0x80n;
/** TF in rflags: single-step mode is not the business of traces. */
const TRAP_FLAG = 0x100n;
/** The parameter: instructions left. */
const LEFT = 0;

/**
 * Translates a trace.
 *
 * @param direct the frame is reached through one address that is checked at the head
 * @param slow index of the function that takes over where the frame cannot be reached so
 * @returns undefined where not even the first instruction can be translated
 */
export function translate(trace: Trace, layout: Layout, facts: Facts, direct: boolean, slow: number): Body | undefined {
  return new Translator(trace, layout, facts, direct, slow).run();
}

/** One pass over a trace; `translateOp` drives it. */
export class Translator extends TraceValues {
  readonly flags: FlagReader;
  readonly #memory: TraceMemory;
  readonly #trace: Trace;
  readonly #facts: Facts;
  #flagsUsed = false;
  /** What pushf left, and the flags it is of. */
  readonly #snapshots = new Map<number, { readonly flags: Flags; readonly version: number }>();
  /** Counts the times that the flags besides the arithmetic ones may have changed. */
  #restVersion = 0;
  #retired = 0;
  #before: Point;
  /** Where the trace goes on after the block. */
  #following = 0n;
  #ended = false;
  /** The blocks before were redirection code: the local that says whether an arrival is awaited since its trampoline. */
  #glue: { readonly awaits: number | undefined } | undefined;
  #rejected = false;

  constructor(trace: Trace, layout: Layout, facts: Facts, direct: boolean, slow: number) {
    super(layout);
    this.#trace = trace;
    this.#facts = facts;
    this.#before = this.point(constant(trace.blocks[0]?.rip ?? 0n));
    const push = (value: Value) => this.push(value);
    const exit = (point: Point) => this.exit(point);
    this.#memory = new TraceMemory({ code: this.code, layout, push, exit, direct, lowest: facts.low });
    const words = () => {
      this.#flagsUsed = true;
      return this.flagHomes;
    };
    this.flags = new FlagReader(this.code, words, push, layout.functions.high64);
    this.#enter(direct, slow);
  }

  run(): Body | undefined {
    const { blocks, next } = this.#trace;
    let used = 0;
    for (const [i, block] of blocks.entries()) {
      this.#following = blocks[i + 1]?.rip ?? next;
      const start = this.#retired;
      this.#enterBlock(block);
      this.#translateBlock(block);
      if (this.#retired > start) used = i + 1;
      if (this.#ended) break;
    }
    const longest = this.#retired;
    if (longest === 0) return undefined;
    const loops = !this.#ended && next === blocks[0]?.rip && this.isHome(this.state, RSP);
    const changed = new Set([...this.homes.keys()].filter((i) => !this.isHome(this.state, i)));
    const flagsChanged = !isHomeFlags(this.state.flags);
    if (loops) {
      if (blocks[0] !== undefined) this.#enterBlock(blocks[0]);
      this.#goRound(longest, changed, flagsChanged);
    }
    if (!loops && !this.#ended) this.exit(this.point(constant(next)));
    const { low, high } = this.#memory;
    const { code } = this;
    const [usedHomes, flagsUsed] = [this.used, this.#flagsUsed];
    return { code, longest, blocks: used, low, high, loops, changed, flagsChanged, used: usedHomes, flagsUsed };
  }

  /** Where a call may arrive after redirection code, and somebody waits for that, the block is the interpreter's. */
  #enterBlock({ rip, mark }: Block): void {
    const { code } = this;
    const { tracePasses, traceAwaits } = this.layout.functions;
    if (mark !== 0) {
      this.#glue ??= { awaits: undefined };
      if (!(mark & TRAMPOLINE) || this.#glue.awaits !== undefined) return;
      this.#glue = { awaits: code.local(I32) };
      code.call(tracePasses).set(this.#glue.awaits ?? 0);
      return;
    }
    if (this.#glue === undefined) return;
    if (this.#glue.awaits === undefined) code.call(traceAwaits);
    else code.get(this.#glue.awaits);
    code.if();
    this.exit(this.point(constant(rip)));
    code.op('end');
    this.#glue = undefined;
  }

  #translateBlock(block: Block): void {
    for (const op of block.ops) {
      this.#before = this.point(constant(op.rip));
      this.state = this.state.clone();
      if (op.name !== 'FallThrough') this.#retired++;
      translateOp(this, op);
      if (this.#rejected) {
        this.#retired = this.#before.retired;
        this.exit(this.#before);
        this.#ended = true;
      }
      if (this.#ended) return;
    }
  }

  /** Before the function's body: the frame's address, the registers, and the loop's head. */
  #enter(direct: boolean, slow: number): void {
    const { code } = this;
    const { low, high, loops, changed, flagsChanged, used, flagsUsed } = this.#facts;
    const { general, result, carries, shape, functions } = this.layout;
    for (let i = 0; i < 16; i++) {
      const needed = used.has(i) || (loops && changed.has(i)) || (i === RSP && direct && high > low);
      if (needed)
        code
          .i32(0)
          .load(8, general + 8 * i)
          .set(this.home(i));
    }
    if (flagsUsed || (loops && flagsChanged)) {
      code.i32(0).load(8, result).set(this.flagHomes.result);
      code.i32(0).load(8, carries).set(this.flagHomes.carries);
      code.i32(0).loadI32(shape).set(this.flagHomes.shape);
    }
    if (direct && high > low) {
      code
        .get(this.home(RSP))
        .i64(BigInt(low))
        .op('i64.add')
        .i32(high - low)
        .call(functions.traceFrame);
      code.tee(this.#memory.frameLocal).op('i32.eqz').if().get(LEFT).call(slow).op('return').op('end');
    }
    if (loops) code.loop();
  }

  /** Goes back to the head, or leaves there where the budget does not hold another turn. */
  #goRound(longest: number, changed: ReadonlySet<number>, flagsChanged: boolean): void {
    const { code } = this;
    const { registers, flags } = this.state;
    if (flagsChanged) {
      this.flags.result(flags);
      this.flags.carries(flags);
      this.flags.shape(flags);
    }
    // all are pushed before any is set: one may be the new value of another
    const order = [...changed];
    for (const i of order) this.push(registers[i] ?? constant(0n));
    for (const i of order.reverse()) code.set(this.home(i));
    if (flagsChanged) code.set(this.flagHomes.shape).set(this.flagHomes.carries).set(this.flagHomes.result);
    code.get(LEFT).i32(longest).op('i32.sub').tee(LEFT).i32(longest).op('i32.ge_s').brIf(0);
    this.exit({ state: this.headState(), rip: constant(this.#trace.next), retired: 0 });
    code.op('end').i32(0);
  }

  /** Emits what leaves the trace at a point. */
  exit({ state, rip, retired }: Point): void {
    const { code } = this;
    const { general, result, carries, shape } = this.layout;
    const { loops, changed, flagsChanged } = this.#facts;
    for (const [i, value] of state.registers.entries()) {
      if (this.isHome(state, i) && !(loops && changed.has(i))) continue;
      code.i32(0);
      this.push(value);
      code.store(8, general + 8 * i);
    }
    if (!isHomeFlags(state.flags) || (loops && flagsChanged)) {
      code.i32(0);
      this.flags.result(state.flags);
      code.store(8, result).i32(0);
      this.flags.carries(state.flags);
      code.store(8, carries).i32(0);
      this.flags.shape(state.flags);
      code.storeI32(shape);
    }
    code.i32(0);
    this.push(rip);
    code.store(8, this.layout.rip);
    code.get(LEFT).i32(retired).op('i32.sub').op('return');
  }

  /** The instruction cannot be translated: the trace ends before it. */
  reject(): void {
    this.#rejected = true;
  }

  /** The point after what has been translated. */
  point(rip: Value): Point {
    return { state: this.state, rip, retired: this.#retired };
  }

  load(size: Size, address: Value): Value {
    const value = this.#memory.load(this.state, size, address, this.#before);
    if (value.kind === 'local' && size <= 4) this.narrow.add(value.index);
    return value;
  }

  /** Stores; `rip` is where the instruction goes on. All else that it does is in the state already. */
  store(size: Size, address: Value, value: Value, rip: bigint): void {
    this.#memory.store(this.state, size, address, value, this.#before, this.point(constant(rip)));
  }

  pushQuad(value: Value, rip: Value): void {
    const sp = this.add(this.register(8 * RSP, 8), constant(-8n));
    this.state.registers[RSP] = sp;
    this.#memory.store(this.state, 8, sp, value, this.#before, this.point(rip));
  }

  popQuad(): Value {
    const sp = this.register(8 * RSP, 8);
    const value = this.load(8, sp);
    this.state.registers[RSP] = this.add(sp, constant(8n));
    return value;
  }

  pushFlags(rip: bigint): void {
    const { code } = this;
    const { flags } = this.state;
    this.flags.arithmetic(flags);
    code.i32(0).load(4, this.layout.rest).op('i64.or').i64(2n).op('i64.or');
    const value = this.take();
    if (value.kind === 'local') this.#snapshots.set(value.index, { flags, version: this.#restVersion });
    this.pushQuad(value, constant(rip));
  }

  popFlags(): void {
    const { code } = this;
    const value = this.popQuad();
    const snapshot = value.kind === 'local' ? this.#snapshots.get(value.index) : undefined;
    if (snapshot?.version === this.#restVersion) {
      this.state.flags = snapshot.flags;
      return;
    }
    this.push(value);
    code.i64(TRAP_FLAG).op('i64.and').op('i64.eqz').op('i32.eqz').if();
    this.exit(this.#before);
    code.op('end');
    this.push(value);
    code.call(this.layout.functions.writeFlags);
    this.#restVersion++;
    const at = { result: code.local(I64), carries: code.local(I64), shape: code.local(I32) };
    code.i32(0).load(8, this.layout.result).set(at.result);
    code.i32(0).load(8, this.layout.carries).set(at.carries);
    code.i32(0).loadI32(this.layout.shape).set(at.shape);
    this.state.flags = { kind: 'words', at };
  }

  /** A conditional jump. */
  branch(condition: number, taken: bigint, after: bigint): void {
    const { code } = this;
    const other = this.#following === taken ? after : taken;
    this.flags.condition(this.state.flags, condition);
    if (this.#following === taken) code.op('i32.eqz');
    code.if();
    this.exit(this.point(constant(other)));
    code.op('end');
    if (this.#following === taken || this.#following === after) return;
    this.exit(this.point(constant(after)));
    this.#ended = true;
  }

  /** Goes to a known address. */
  goTo(target: bigint): void {
    if (target === this.#trace.gate) {
      this.#passGate();
      return;
    }
    if (target === this.#following) return;
    this.exit(this.point(constant(target)));
    this.#ended = true;
  }

  /**
   * Goes where a value says. A target that is not canonical is left to the interpreter, before the instruction.
   *
   * @param returnTo what a call pushes
   */
  goToValue(target: Value, returnTo?: bigint): void {
    const { code } = this;
    if (target.kind === 'const') {
      if (BigInt.asUintN(64, BigInt.asIntN(48, target.value)) !== target.value) {
        this.reject();
        return;
      }
      if (returnTo !== undefined) this.pushQuad(constant(returnTo), target);
      this.goTo(target.value);
      return;
    }
    this.push(target);
    code.i64(this.#following).op('i64.ne').if();
    this.push(target);
    code.i64(16n).op('i64.shl').i64(16n).op('i64.shr_s');
    this.push(target);
    code.op('i64.ne').if();
    this.exit(this.#before);
    code.op('end');
    const state = this.state.clone();
    if (returnTo !== undefined) this.pushQuad(constant(returnTo), target);
    this.exit(this.point(target));
    code.op('end');
    this.state = state;
    if (returnTo !== undefined) this.pushQuad(constant(returnTo), constant(this.#following));
  }

  /** The gate and its ret: the core answers, or the interpreter goes on at the gate. */
  #passGate(): void {
    const { code, state } = this;
    const here = this.point(constant(this.#trace.gate ?? 0n));
    this.state = state.clone();
    const ip = this.add(this.register(8 * RCX, 8), constant(REGS_IP));
    const sp = this.register(8 * RSP, 8);
    const apart = ip.kind === 'frame' && sp.kind === 'frame' && Math.abs(ip.offset - sp.offset) >= 8;
    if (!apart || !this.#memory.inReach(ip.offset) || !this.#memory.inReach(sp.offset)) {
      this.exit(here);
      this.#ended = true;
      return;
    }
    const target = this.#memory.load(this.state, 8, sp, here);
    this.#memory.makeReady(ip.offset, here);
    this.push(this.register(8 * RDI, 8));
    code.call(this.layout.functions.traceGate);
    const answer = this.take();
    this.push(answer);
    code.op('i64.eqz').if();
    this.exit(here);
    code.op('end');
    this.#memory.storeReady(this.state, ip.offset, answer);
    this.state.registers[RSP] = this.add(sp, constant(8n));
    if (target.kind === 'const') {
      this.goTo(target.value);
      return;
    }
    this.push(target);
    code.i64(this.#following).op('i64.ne').if();
    this.exit(this.point(target));
    code.op('end');
  }
}

function isHomeFlags(flags: Flags): boolean {
  return flags.kind === 'words' && flags.at === undefined;
}
