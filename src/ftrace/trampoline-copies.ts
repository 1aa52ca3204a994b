// Trampolines of many ops: assembled once for each kind and handler, then copied and relocated, as create_trampoline does (F28, F31).
import { rel32 } from '../address.ts';
import { TrampolineBytesError } from '../errors.ts';
import { END, HANDLER_CALL, type KernelVersion, opsTrampoline, type TrampolineKind } from './trampoline.ts';

/** What differs between two trampolines of one kernel. */
export interface CopySpec {
  readonly kind: TrampolineKind;
  readonly handler: bigint;
  /** Where the copy is placed. */
  readonly address: bigint;
  /** The value of rdx: the address of the ops. */
  readonly ops: bigint;
}

/** One assembled trampoline, and where the parts lie that depend on its place. */
interface Template {
  readonly bytes: Uint8Array;
  /** Offsets of the rel32 operands, and what they lead to. */
  readonly branches: readonly (readonly [offset: number, target: bigint])[];
  /** Offset of the ops pointer. */
  readonly ops: number;
}

/** Assembling takes 20 times as long as copying (40 against 2 µs), and a patch may have 50,000 funcs. */
export class TrampolineCopies {
  readonly #kernel: KernelVersion;
  readonly #returnThunk: bigint;
  readonly #templates = new Map<string, Template>();

  constructor(kernel: KernelVersion, returnThunk: bigint) {
    this.#kernel = kernel;
    this.#returnThunk = returnThunk;
  }

  /**
   * The bytes of `opsTrampoline`.
   * @throws {TrampolineBytesError} ERANGE the handler or the return thunk is out of rel32 reach (F10)
   */
  copy({ kind, handler, address, ops }: CopySpec): Uint8Array {
    const template = this.#template(kind, handler, address);
    const bytes = template.bytes.slice();
    const view = new DataView(bytes.buffer);
    for (const [offset, target] of template.branches) {
      const displacement = rel32(address + BigInt(offset + 4), target);
      if (displacement === undefined) {
        throw new TrampolineBytesError('ERANGE', 'a branch of the trampoline does not reach its target', {
          operation: 'assemble',
          offset,
          bytes,
        });
      }
      view.setInt32(offset, displacement, true);
    }
    view.setBigUint64(template.ops, ops, true);
    return bytes;
  }

  /** Bytes of a trampoline. */
  length(kind: TrampolineKind, handler: bigint, address: bigint): number {
    return this.#template(kind, handler, address).bytes.length;
  }

  #template(kind: TrampolineKind, handler: bigint, address: bigint): Template {
    const key = `${kind} ${handler}`;
    const known = this.#templates.get(key);
    if (known !== undefined) return known;
    const returnThunk = this.#returnThunk;
    const spec = { kind, kernel: this.#kernel, handler, address, ops: 0n, returnThunk };
    const { bytes, labels } = opsTrampoline(spec);
    // both are one opcode byte and a rel32
    const operand = (label: string): number => (labels.get(label) ?? 0) + 1;
    const template = {
      bytes,
      branches: [[operand(HANDLER_CALL), handler] as const, [operand(END), returnThunk] as const],
      ops: labels.get('ops') ?? 0,
    };
    this.#templates.set(key, template);
    return template;
  }
}
