// Walks the stack of a task that waits, from its registers and guest memory alone (arch_stack_walk_reliable, L69).
import { hex } from '../address.ts';
import type { Engine, RegisterName } from '../engine/engine.ts';
import { EngineError, TrampolineError } from '../errors.ts';
import { PT_REGS_SIZE } from '../ftrace/pt-regs.ts';
import { plainRow } from '../ftrace/trampoline-frames.ts';
import type { LoadedImage } from '../image/image.ts';
import { CallFrames } from '../image/unwind/call-frames.ts';
import { callerOf, type FrameRegisters } from '../image/unwind/caller.ts';
import { DWARF_REGISTERS, type FrameRow, RETURN_ADDRESS, RSP } from '../image/unwind/frame-row.ts';
import type { StackTrace } from '../livepatch/stack-check.ts';
import type { Task } from '../livepatch/tasks.ts';
import type { Region } from './guest-map.ts';
import { decodedFrame, interruptedRegisters } from './interrupt-frame.ts';

/** More entries a trace does not have (MAX_STACK_ENTRIES of klp/transition.c). */
export const MAX_STACK_ENTRIES = 100;

const RBP = DWARF_REGISTERS.indexOf('rbp');

/** What a walk knows of the guest's code. */
export interface StackWalkParts {
  readonly engine: Engine;
  /** The image that holds an address: a loaded one, or the guest's own handlers. */
  imageAt(address: bigint): LoadedImage | undefined;
  /** The row of an instruction of a trampoline. */
  trampolineFrame(ip: bigint): FrameRow | undefined;
  /** Of an instruction of the kernel's routines: bytes between rsp and the return address. */
  routineDepth(ip: bigint): number | undefined;
  /** Where a return address really goes that stands in a slot of the task's stack: function graph may have hooked it. */
  realReturn(task: Task, slot: bigint, address: bigint): bigint;
  /** Where an outermost call returns to, and where one returns to that stands on a suspended one. */
  readonly returnTo: bigint;
  readonly returnToInterrupted: bigint;
}

/** A frame on the way up. */
interface Frame {
  readonly ip: bigint;
  /** It goes on at `ip` itself; otherwise `ip` is behind a call, which is what its function was doing. */
  readonly exact: boolean;
  readonly registers: FrameRegisters;
}

/** Walks stacks. */
export class StackWalk {
  readonly #parts: StackWalkParts;
  /** The frames of an image, or why it has none. */
  readonly #frames = new WeakMap<LoadedImage, CallFrames | string>();

  constructor(parts: StackWalkParts) {
    this.#parts = parts;
  }

  /**
   * The addresses at which a task's functions stand, the innermost first. Takes steps in the number of frames and the
   * logarithm of the number of functions.
   *
   * @param registers those with which the task waits
   * @param stack the bounds of its stack
   */
  trace(task: Task, registers: ReadonlyMap<RegisterName, bigint>, stack: Region): StackTrace {
    const addresses: bigint[] = [];
    let frame: Frame | 'bottom' = startOf(registers);
    try {
      while (frame !== 'bottom') {
        if (addresses.length === MAX_STACK_ENTRIES) return { addresses, unreliable: 'more than 100 frames' };
        addresses.push(frame.ip);
        frame = this.#above(task, frame, stack);
      }
    } catch (error) {
      if (!(error instanceof TrampolineError)) throw error;
      return { addresses, unreliable: error.message };
    }
    return { addresses, unreliable: undefined };
  }

  /** The next frame. @throws {TrampolineError} it cannot be found, the message says why */
  #above(task: Task, frame: Frame, stack: Region): Frame | 'bottom' {
    const { engine, realReturn, returnTo, returnToInterrupted } = this.#parts;
    const { row, own } = this.#rowOf(frame);
    const caller = callerOf(row, frame.registers, (at) => (holds(stack, at, 8n) ? readQuad(engine, at) : undefined));
    if (caller === undefined) throw unreliable(`the frame address at ${hex(frame.ip)} is not known`);
    const { cfa, registers } = caller;
    const rsp = frame.registers[RSP];
    if (rsp === undefined || !holds(stack, rsp, 0n))
      throw unreliable(`rsp at ${hex(frame.ip)} is outside of the stack`);
    if (cfa % 8n !== 0n || cfa <= rsp || !holds(stack, cfa - 8n, 8n)) {
      throw unreliable(`the frame address ${hex(cfa)} at ${hex(frame.ip)} is not above ${hex(rsp)} on the stack`);
    }
    const address = registers[RETURN_ADDRESS];
    if (address === undefined) throw unreliable(`the return address at ${hex(frame.ip)} is not known`);
    const ip = realReturn(task, cfa - 8n, address);
    if (ip === returnTo) return 'bottom';
    if (ip === returnToInterrupted) return this.#interrupted(cfa, registers[RBP], stack);
    return { ip, exact: row.signal || (own && this.#isEntry(ip)), registers };
  }

  /** The function that an interrupt stands on. */
  #interrupted(cfa: bigint, rbp: bigint | undefined, stack: Region): Frame {
    const ptRegs = rbp === undefined ? undefined : decodedFrame(rbp);
    if (ptRegs === undefined || ptRegs < cfa || !holds(stack, ptRegs, BigInt(PT_REGS_SIZE))) {
      throw unreliable(`no interrupted registers are found above ${hex(cfa)}`);
    }
    const frame = startOf(interruptedRegisters(this.#parts.engine, ptRegs));
    if ((frame.registers[RSP] ?? 0n) <= ptRegs) throw unreliable('the interrupted stack is not above the interrupt');
    return frame;
  }

  /** The row of a frame, and whether it is code of our own: only that jumps to a function by a return. */
  #rowOf({ ip, exact }: Frame): { row: FrameRow; own: boolean } {
    const trampoline = this.#parts.trampolineFrame(ip);
    if (trampoline !== undefined) return { row: trampoline, own: true };
    const depth = exact ? this.#parts.routineDepth(ip) : undefined;
    if (depth !== undefined) return { row: plainRow(depth), own: true };
    const at = exact ? ip : ip - 1n;
    const image = this.#parts.imageAt(at);
    if (image === undefined) throw unreliable(`${hex(ip)} is in no known code`);
    const row = this.#framesOf(image).rowAt(at);
    if (row === undefined) throw unreliable(`'${image.name}' has no call frame information for ${hex(ip)}`);
    return { row, own: false };
  }

  #framesOf(image: LoadedImage): CallFrames {
    let found = this.#frames.get(image);
    if (found === undefined) {
      found = readFrames(image);
      this.#frames.set(image, found);
    }
    if (typeof found === 'string') throw unreliable(found);
    return found;
  }

  /** A trampoline or thunk returns to a function's start, or to the instruction after a site: both go on right there. */
  #isEntry(ip: bigint): boolean {
    if (this.#parts.routineDepth(ip) !== undefined) return true;
    return this.#parts.imageAt(ip)?.functionAt(ip)?.address === ip;
  }
}

function readFrames(image: LoadedImage): CallFrames | string {
  const { ehFrame, name } = image;
  if (ehFrame === undefined) return `'${name}' has no call frame information`;
  try {
    return CallFrames.read({ image: name, ...ehFrame });
  } catch (error) {
    if (!(error instanceof TrampolineError)) throw error;
    return error.message;
  }
}

function startOf(registers: ReadonlyMap<RegisterName, bigint>): Frame {
  const rip = registers.get('rip');
  if (rip === undefined) throw unreliable('rip is not known');
  return { ip: rip, exact: true, registers: DWARF_REGISTERS.map((name) => registers.get(name)) };
}

function holds({ base, size }: Region, address: bigint, length: bigint): boolean {
  return address >= base && address + length <= base + size;
}

function readQuad(engine: Engine, at: bigint): bigint {
  const bytes = engine.read(at, 8);
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

function unreliable(fact: string): TrampolineError {
  return new EngineError('EINVAL', fact, { operation: 'unwind' });
}
