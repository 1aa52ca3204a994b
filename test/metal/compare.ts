// Runs metal cases on an engine and says where it differs from the bare CPU.

import { hex, hexBytes } from '../../src/address.ts';
import { type Engine, type Exit, type Fault, GENERAL_REGISTERS } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/errors.ts';
import { background, SEED } from './generate.ts';
import { type Case, CODE, CODE_PAGE, FILL, FLAGS, FLAGS_BASE, GS_BASE, MEMORY, PAGE, type Result } from './layout.ts';

/**
 * How an engine differs. `value`: another register, memory byte or rip. `flags`: only defined flags differ. `nan`: both
 * results are NaN, with another payload or sign. `refused`: it does not know the instruction. `fault`: it faults where
 * the CPU does not, or not where the CPU does. `fault-detail`: both fault, but with another kind, access or address, or
 * leaving another state behind. `alignment`: it executes what the CPU refuses for a misaligned SSE operand. `broken`:
 * the engine itself failed; it is of no further use.
 */
export type MismatchKind = 'value' | 'flags' | 'nan' | 'refused' | 'fault' | 'fault-detail' | 'alignment' | 'broken';

export interface Mismatch {
  id: string;
  code: string;
  form: string;
  bytes: string;
  kind: MismatchKind;
  /** Expected and got, in words. */
  detail: string;
}

const BUDGET = 2000;
const ZF = 0x40;

/** An engine with the pages of the metal cases; cases run one after the other on it. */
export class MetalBench {
  readonly #engine: Engine;
  readonly #background: Uint8Array;
  #codeLength = 0;

  /** Maps the pages; the engine must not have any there. */
  constructor(engine: Engine, seed = SEED) {
    this.#engine = engine;
    this.#background = background(seed);
    engine.map(CODE_PAGE, BigInt(PAGE), 'rx');
    engine.map(MEMORY, BigInt(PAGE), 'rw');
    engine.write(CODE_PAGE, new Uint8Array(PAGE).fill(FILL));
    engine.write(MEMORY, this.#background);
    engine.writeRegister('gsBase', GS_BASE);
  }

  /** Runs one case and compares all of its outcome: registers, defined flags, xmm, memory, fault kind and address. */
  run(input: Case, metal: Result): Mismatch | undefined {
    const start = this.#load(input);
    let exit: Exit;
    try {
      exit = this.#execute(input);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      return mismatch(input, 'broken', error.message);
    }
    let found = this.#compare(input, metal, exit, start);
    if (found !== undefined && metal.vector !== undefined && exit.fault !== undefined)
      found = { ...found, kind: 'fault-detail' };
    this.#engine.write(MEMORY, this.#background);
    return found;
  }

  #load(input: Case): Uint8Array {
    const engine = this.#engine;
    const code = new Uint8Array(Math.max(this.#codeLength, input.bytes.length)).fill(FILL);
    code.set(input.bytes);
    engine.write(CODE, code);
    this.#codeLength = input.bytes.length;
    GENERAL_REGISTERS.forEach((name, i) => {
      engine.writeRegister(name, input.gprs[i] ?? 0n);
    });
    engine.writeRegister('rflags', BigInt(input.flags | FLAGS_BASE));
    for (let i = 0; i < 16; i++) engine.writeXmm(i, input.xmm.subarray(16 * i, 16 * i + 16));
    const memory = this.#background.slice();
    for (const patch of input.patches) {
      engine.write(MEMORY + BigInt(patch.offset), patch.bytes);
      memory.set(patch.bytes, patch.offset);
    }
    return memory;
  }

  #execute(input: Case): Exit {
    const engine = this.#engine;
    // a branch may go anywhere, so there is no one address to run until
    if (input.branches) {
      engine.writeRegister('rip', CODE);
      return engine.step();
    }
    return engine.run({ from: CODE, until: CODE + BigInt(input.bytes.length), budget: BUDGET });
  }

  #compare(input: Case, metal: Result, exit: Exit, memory: Uint8Array): Mismatch | undefined {
    if (exit.reason === 'not-judged')
      return metal.vector === 6 ? undefined : mismatch(input, 'refused', exit.why ?? '');
    const expected = expectedFault(input, metal);
    const got = exit.fault;
    // a branch to where nothing can be fetched: the next step's fault may come with this one
    const early =
      expected === undefined && metal.vector !== undefined && got?.access === 'fetch' && got.rip === metal.rip;
    if (!early && !sameFault(expected, got)) {
      const unaligned = metal.vector === 13 && got === undefined && input.form === 'unaligned';
      const refused = got?.kind === 'invalid-instruction' && expected === undefined;
      const kind = unaligned ? 'alignment' : refused ? 'refused' : 'fault';
      return mismatch(input, kind, `expected ${faultText(expected)}, got ${faultText(got)}`);
    }
    if (exit.reason === 'budget') return mismatch(input, 'value', 'did not come to its end');
    if (exit.rip !== metal.rip) return differs(input, 'rip', hex(metal.rip), hex(exit.rip));
    return this.#compareState(input, metal, memory);
  }

  #compareState(input: Case, metal: Result, memory: Uint8Array): Mismatch | undefined {
    const engine = this.#engine;
    const loose = (metal.flags & ZF) !== 0 ? input.undefinedIfZero : 0;
    for (const [i, name] of GENERAL_REGISTERS.entries()) {
      const wanted = metal.gprs.get(i) ?? input.gprs[i] ?? 0n;
      const got = engine.readRegister(name);
      if (got !== wanted && ((loose >> i) & 1) === 0) return differs(input, name, hex(wanted), hex(got));
    }
    for (let i = 0; i < 16; i++) {
      const wanted = metal.xmm.get(i) ?? input.xmm.subarray(16 * i, 16 * i + 16);
      const got = engine.readXmm(i);
      if (same(wanted, got)) continue;
      const found = differs(input, `xmm${i}`, hexBytes(wanted), hexBytes(got));
      return bothNan(wanted, got, input) ? { ...found, kind: 'nan' } : found;
    }
    for (const patch of metal.memory) memory.set(patch.bytes, patch.offset);
    const got = engine.read(MEMORY, PAGE);
    const at = got.findIndex((byte, i) => byte !== memory[i]);
    if (at >= 0) {
      const wanted = hexBytes(memory.subarray(at, at + 16));
      return differs(input, `memory ${hex(MEMORY + BigInt(at))}`, wanted, hexBytes(got.subarray(at, at + 16)));
    }
    // an instruction that faulted leaves the flags from before it; in a program some of those may be undefined
    const untouched = metal.vector !== undefined && input.instructions === 1;
    const defined = untouched ? FLAGS : metal.vector === undefined ? FLAGS & ~input.undefinedFlags : 0;
    const flags = Number(engine.readRegister('rflags')) & FLAGS;
    if ((flags ^ metal.flags) & defined) {
      const detail = `expected ${hex(metal.flags)}, got ${hex(flags)}, defined ${hex(defined)}`;
      return mismatch(input, 'flags', `rflags ${detail}`);
    }
    return undefined;
  }
}

/** What the CPU's exception is in the terms of the engine interface. */
export function expectedFault(input: Case, metal: Result): Fault | undefined {
  const { vector, rip } = metal;
  if (vector === undefined) return undefined;
  if (vector === 0) return { kind: 'divide-error', rip };
  if (vector === 3) return { kind: 'breakpoint', rip };
  if (vector === 6) return { kind: 'invalid-instruction', rip };
  if (vector !== 14) return { kind: 'general-protection', rip };
  const error = metal.error ?? 0;
  // the branch itself is done; the fetch that fails belongs to the next step
  if (input.branches && (error & 16) !== 0) return undefined;
  // the upper half is the host's kernel, mapped there but not in the guest
  const kernel = (metal.address ?? 0n) >> 63n !== 0n;
  return {
    kind: (error & 1) !== 0 && !kernel ? 'protected' : 'unmapped',
    rip,
    access: (error & 16) !== 0 ? 'fetch' : (error & 2) !== 0 ? 'write' : 'read',
    address: metal.address ?? 0n,
  };
}

function sameFault(a: Fault | undefined, b: Fault | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.kind === b.kind && a.rip === b.rip && a.access === b.access && a.address === b.address;
}

function faultText(fault: Fault | undefined): string {
  if (fault === undefined) return 'no fault';
  const where = fault.address === undefined ? '' : ` ${fault.access} ${hex(fault.address)}`;
  const vector = fault.vector === undefined ? '' : ` ${fault.vector}`;
  return `${fault.kind}${vector}${where} at ${hex(fault.rip)}`;
}

function differs(input: Case, what: string, expected: string, got: string): Mismatch {
  return mismatch(input, 'value', `${what} expected ${expected}, got ${got}`);
}

function mismatch(input: Case, kind: MismatchKind, detail: string): Mismatch {
  return { id: input.id, code: input.code, form: input.form, bytes: hexBytes(input.bytes), kind, detail };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Whether every lane that differs is a NaN on both sides; a program may have worked in either width. */
function bothNan(a: Uint8Array, b: Uint8Array, input: Case): boolean {
  if (input.instructions > 2) return nanLanes(a, b, 8) || nanLanes(a, b, 4);
  if (!/(ps|pd|ss|sd)_xmm/.test(input.code)) return false;
  return nanLanes(a, b, /^[A-Z][a-z0-9]*?(pd|sd)_|2sd_/.test(input.code) ? 8 : 4);
}

function nanLanes(a: Uint8Array, b: Uint8Array, size: 4 | 8): boolean {
  const [x, y] = [new DataView(a.buffer, a.byteOffset, 16), new DataView(b.buffer, b.byteOffset, 16)];
  const isNaNAt = (view: DataView, at: number) =>
    Number.isNaN(size === 8 ? view.getFloat64(at, true) : view.getFloat32(at, true));
  for (let at = 0; at < 16; at += size) {
    const equal = same(a.subarray(at, at + size), b.subarray(at, at + size));
    if (!equal && !(isNaNAt(x, at) && isNaNAt(y, at))) return false;
  }
  return true;
}
