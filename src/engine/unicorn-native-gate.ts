// The gate on native Unicorn, whose instruction hooks work anywhere: three instructions at the gate's own address.
import { ANSWER_IP_HIGH, ANSWER_IP_LOW, GATE_SIZE, type GateHandler } from './engine.ts';
import type { UnicornGateway } from './unicorn-backend.ts';
import type { UnicornNativeCpu } from './unicorn-native-cpu.ts';

const STUB = Uint8Array.of(
  0x90, // nop: asks the host, which leaves the answer in rax
  ...[0x48, 0x89, 0x81, 0x80, 0, 0, 0], // mov [rcx+0x80], rax: pt_regs.ip
  0xc3, // ret
);

/** The gate of one engine. */
export class UnicornNativeGate implements UnicornGateway {
  readonly address: bigint;
  handler: GateHandler;
  readonly #low: number;
  readonly #high: number;

  constructor(cpu: UnicornNativeCpu, address: bigint, handler: GateHandler, onError: (error: unknown) => void) {
    this.address = address;
    this.handler = handler;
    this.#low = Number(address & 0xffffffffn);
    this.#high = Number(address >> 32n);
    cpu.write(address, STUB);
    const answer = new Uint32Array(2);
    cpu.onInstruction(address, () => {
      try {
        const rdi = cpu.readRegister('rdi');
        this.handler(Number(rdi & 0xffffffffn), Number(rdi >> 32n), answer);
        cpu.writeRegister('rax', (BigInt(answer[ANSWER_IP_HIGH] ?? 0) << 32n) | BigInt(answer[ANSWER_IP_LOW] ?? 0));
      } catch (error) {
        onError(error);
      }
    });
  }

  holds(address: bigint): boolean {
    return address >= this.address && address < this.address + BigInt(GATE_SIZE);
  }

  isBlock(low: number, high: number): boolean {
    return this.isEntry(low, high);
  }

  isEntry(low: number, high: number): boolean {
    return low >>> 0 === this.#low && high >>> 0 === this.#high;
  }

  /** It keeps nothing elsewhere. */
  makeRoom(): void {}
}
