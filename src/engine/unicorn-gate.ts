// The gate on unicorn.js, whose instruction hooks work only below 4 GiB: a jump from the gate's address to a stub there.
import { hex, PAGE_SIZE } from '../address.ts';
import { EngineError } from '../errors.ts';
import { ANSWER_IP_HIGH, ANSWER_IP_LOW, type GateHandler } from './engine.ts';
import type { Mappings } from './mappings.ts';
import type { UnicornGateway } from './unicorn-backend.ts';
import type { UnicornCpu } from './unicorn-cpu.ts';

/** One page of code and one of data. */
const STUB_SIZE = 2n * PAGE_SIZE;
const LOW_LIMIT = 1n << 32n;

const STUB = Uint8Array.of(
  0x90, // nop: asks the host, which leaves the answer in the next page
  ...[0x48, 0x8b, 0x05, 0xf8, 0x0f, 0, 0], // mov rax, [rip+0xff8]: the answer
  ...[0x48, 0x89, 0x81, 0x80, 0, 0, 0], // mov [rcx+0x80], rax: pt_regs.ip
  0xc3, // ret
);

/** The gate of one engine: its stub page, and the handler it asks. */
export class UnicornGate implements UnicornGateway {
  readonly address: bigint;
  handler: GateHandler;
  readonly #cpu: UnicornCpu;
  readonly #mappings: Mappings;
  readonly #onError: (error: unknown) => void;
  readonly #answer = new Uint32Array(2);
  readonly #answerBytes = new Uint8Array(this.#answer.buffer);
  #stub = 0n;
  #removeHook: () => void = () => undefined;

  constructor(
    cpu: UnicornCpu,
    mappings: Mappings,
    address: bigint,
    handler: GateHandler,
    onError: (error: unknown) => void,
  ) {
    this.#cpu = cpu;
    this.#mappings = mappings;
    this.address = address;
    this.handler = handler;
    this.#onError = onError;
    this.#place(0n, 0n);
  }

  /** Whether an address is the gate's entry or inside its stub. */
  holds(address: bigint): boolean {
    return address === this.address || (address >= this.#stub && address < this.#stub + STUB_SIZE);
  }

  /** The same for the two halves of a block's address; the stub is one block that begins the page. */
  isBlock(low: number, high: number): boolean {
    const stub = high === 0 && low >>> 0 === Number(this.#stub);
    return stub || this.isEntry(low, high);
  }

  isEntry(low: number, high: number): boolean {
    return low >>> 0 === Number(this.address & 0xffffffffn) && high >>> 0 === Number(this.address >> 32n);
  }

  /** Moves the stub away from pages that the guest is about to get. */
  makeRoom(start: bigint, size: bigint): void {
    if (start < this.#stub + STUB_SIZE && start + size > this.#stub) this.#place(start, start + size);
  }

  /** Places the stub in free pages, outside `from` to `to`, and points the gate at it. */
  #place(from: bigint, to: bigint): void {
    const stub = this.#freePages(from, to);
    if (this.#stub !== 0n) {
      this.#removeHook();
      this.#cpu.unmap(this.#stub, STUB_SIZE);
    }
    const cpu = this.#cpu;
    cpu.map(stub, PAGE_SIZE, 'rx');
    cpu.map(stub + PAGE_SIZE, PAGE_SIZE, 'rw');
    cpu.write(stub, STUB);
    this.#stub = stub;
    cpu.write(this.address, jumpTo(stub));
    this.#removeHook = cpu.onInstruction(Number(stub), this.#asker(Number(stub + PAGE_SIZE)));
  }

  /** Asks the handler; the guest reads the answer at `slot`, which is written only when it changed. */
  #asker(slot: number): () => void {
    const cpu = this.#cpu;
    const answer = this.#answer;
    let low = 0;
    let high = 0;
    return () => {
      try {
        const rdi = cpu.readRegisterBytes('rdi');
        this.handler(half(rdi, 0), half(rdi, 4), answer);
        if (answer[ANSWER_IP_LOW] === low && answer[ANSWER_IP_HIGH] === high) return;
        low = answer[ANSWER_IP_LOW] ?? 0;
        high = answer[ANSWER_IP_HIGH] ?? 0;
        cpu.writeLow(slot, this.#answerBytes);
      } catch (error) {
        this.#onError(error);
      }
    };
  }

  #freePages(from: bigint, to: bigint): bigint {
    for (let stub = LOW_LIMIT - STUB_SIZE; stub > 0n; stub -= STUB_SIZE) {
      const inTheWay = this.#mappings.overlapping(stub, stub + STUB_SIZE)[0];
      if (inTheWay === undefined && (stub + STUB_SIZE <= from || stub >= to) && stub !== this.#stub) return stub;
    }
    throw new EngineError('ENOMEM', `no two free pages below ${hex(LOW_LIMIT)} for the gate's stub`, {
      operation: 'gate',
    });
  }
}

/** `jmp *[rip+0]` and the address it goes to: 14 bytes. */
function jumpTo(target: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xff, 0x25, 0, 0, 0, 0, ...new Uint8Array(8));
  new DataView(bytes.buffer).setBigUint64(6, target, true);
  return bytes;
}

function half(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}
