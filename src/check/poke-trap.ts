// The int3 handler of a poke: emulates the instruction that will stand at the site (F17), on our own register file.
import { wrap } from '../address.ts';
import { decodeOne } from '../x86/decode.ts';
import { type Cpu, PokeCpu } from './poke-cpu.ts';

const CF = 0x001n;
const PF = 0x004n;
const ZF = 0x040n;
const SF = 0x080n;
const OF = 0x800n;

/**
 * What the handler makes of a CPU that trapped at `address`; undefined for an instruction that text_poke does not know
 * and stops the kernel over. It knows call, jmp, jcc, ret and the NOPs of two and five bytes.
 */
export function emulate(
  cpu: Cpu,
  newBytes: Uint8Array,
  address: bigint,
  memory: PokeCpu,
): { readonly cpu: Cpu; readonly pushed?: bigint } | undefined {
  const { length, flow, target, mnemonic } = decodeOne(newBytes, address);
  const next = wrap(address + BigInt(length));
  const opcode = newBytes[0] ?? 0;
  if (opcode === 0xe8 && flow === 'call' && target !== undefined) {
    return { cpu: PokeCpu.pushed(cpu, next, target), pushed: next };
  }
  if ((opcode === 0xe9 || opcode === 0xeb) && target !== undefined) return { cpu: { ...cpu, rip: target } };
  if (opcode === 0xc3) return { cpu: memory.popped(cpu) };
  if (opcode === 0x0f && flow === 'conditional' && target !== undefined) {
    return { cpu: { ...cpu, rip: taken(newBytes[1] ?? 0, cpu.state.rflags) ? target : next } };
  }
  if (mnemonic === 'nop' && (length === 2 || length === 5)) return { cpu: { ...cpu, rip: next } };
  return undefined;
}

/** Whether the condition in an opcode's low four bits holds (Intel SDM vol. 1, appendix B). */
function taken(opcode: number, flags: bigint): boolean {
  const has = (flag: bigint): boolean => (flags & flag) !== 0n;
  const less = has(SF) !== has(OF);
  const holds = [has(OF), has(CF), has(ZF), has(CF) || has(ZF), has(SF), has(PF), less, has(ZF) || less][
    (opcode & 0xf) >> 1
  ];
  return (holds === true) !== ((opcode & 1) === 1);
}
