// An ELF object of many equal functions, made in memory: what the series patch by the thousand.
import { assemble, nop } from '../x86/encode.ts';
import { body } from './mechanisms/hot.ts';

/** From one function to the next, bytes. */
const STRIDE = 32;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const RELA = 24;
/** Section types and flags, symbol kinds, and R_X86_64_64 (System V ABI, gABI chapter 4 and psABI 4.4). */
const SHT = { progbits: 1, symtab: 2, strtab: 3, rela: 4 } as const;
const SHF = { write: 1, alloc: 2, execute: 4, info: 0x40 } as const;
const ET_REL = 1;
const EM_X86_64 = 62;
const GLOBAL_FUNC = 0x12;
const LOCAL_SECTION = 0x03;
const R_X86_64_64 = 1n;
const TEXT = 1;

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly link?: number;
  readonly info?: number;
  readonly entry?: number;
}

/**
 * An object with `count` functions `f0`, `f1` …, each `long f(long x) { return x + added; }` with a frame.
 *
 * @param traced whether each begins with a site that is in __mcount_loc, a NOP5 as -mnop-mcount leaves it
 * @throws {RangeError} `count` is not 1 to 1,000,000
 */
export function manyFunctions(count: number, added: number, traced: boolean): Uint8Array {
  if (!Number.isInteger(count) || count < 1 || count > 1_000_000) {
    throw new RangeError(`"count" expected 1 to 1,000,000, got ${count}`);
  }
  const { bytes: one } = assemble(0n, [...(traced ? [nop(5)] : []), ...body(added)]);
  const text = new Uint8Array(count * STRIDE).fill(0xcc);
  const names = ['\0'];
  let nameAt = 1;
  const symbols = new DataView(new ArrayBuffer(SYMBOL * (count + 2)));
  // the section's own symbol, for the relocations
  symbols.setUint8(SYMBOL + 4, LOCAL_SECTION);
  symbols.setUint16(SYMBOL + 6, TEXT, true);
  const relas = new DataView(new ArrayBuffer(RELA * count));
  for (let i = 0; i < count; i++) {
    text.set(one, i * STRIDE);
    const at = SYMBOL * (i + 2);
    const name = `f${i}\0`;
    symbols.setUint32(at, nameAt, true);
    symbols.setUint8(at + 4, GLOBAL_FUNC);
    symbols.setUint16(at + 6, TEXT, true);
    symbols.setBigUint64(at + 8, BigInt(i * STRIDE), true);
    symbols.setBigUint64(at + 16, BigInt(one.length), true);
    names.push(name);
    nameAt += name.length;
    relas.setBigUint64(RELA * i, BigInt(8 * i), true);
    relas.setBigUint64(RELA * i + 8, (1n << 32n) | R_X86_64_64, true);
    relas.setBigUint64(RELA * i + 16, BigInt(i * STRIDE), true);
  }
  const tables: Section[] = traced
    ? [
        { name: '__mcount_loc', type: SHT.progbits, flags: SHF.alloc | SHF.write, bytes: new Uint8Array(8 * count) },
        {
          name: '.rela__mcount_loc',
          type: SHT.rela,
          flags: SHF.info,
          bytes: view(relas),
          link: 4,
          info: 2,
          entry: RELA,
        },
      ]
    : [];
  const symtab = 2 + tables.length;
  return file([
    { name: '.text', type: SHT.progbits, flags: SHF.alloc | SHF.execute, bytes: text },
    ...tables,
    { name: '.symtab', type: SHT.symtab, flags: 0, bytes: view(symbols), link: symtab + 1, info: 2, entry: SYMBOL },
    { name: '.strtab', type: SHT.strtab, flags: 0, bytes: new TextEncoder().encode(names.join('')) },
  ]);
}

function view({ buffer }: DataView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer);
}

/** Sections, their names, and the header, laid out one after another. */
function file(sections: readonly Section[]): Uint8Array {
  const all: Section[] = [...sections, { name: '.shstrtab', type: SHT.strtab, flags: 0, bytes: new Uint8Array(0) }];
  const nameAt: number[] = [];
  let nameText = '\0';
  for (const { name } of all) {
    nameAt.push(nameText.length);
    nameText += `${name}\0`;
  }
  all[all.length - 1] = { name: '.shstrtab', type: SHT.strtab, flags: 0, bytes: new TextEncoder().encode(nameText) };
  let end = 64;
  const offsets = all.map(({ bytes }) => {
    const offset = (end + 15) & ~15;
    end = offset + bytes.length;
    return offset;
  });
  const headers = (end + 15) & ~15;
  const bytes = new Uint8Array(headers + SECTION_HEADER * (all.length + 1));
  const data = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  data.setUint16(16, ET_REL, true);
  data.setUint16(18, EM_X86_64, true);
  data.setUint32(20, 1, true);
  data.setBigUint64(40, BigInt(headers), true);
  data.setUint16(52, 64, true);
  data.setUint16(58, SECTION_HEADER, true);
  data.setUint16(60, all.length + 1, true);
  data.setUint16(62, all.length, true);
  for (const [i, { type, flags, bytes: content, link = 0, info = 0, entry = 0 }] of all.entries()) {
    bytes.set(content, offsets[i]);
    const at = headers + SECTION_HEADER * (i + 1);
    data.setUint32(at, nameAt[i] ?? 0, true);
    data.setUint32(at + 4, type, true);
    data.setBigUint64(at + 8, BigInt(flags), true);
    data.setBigUint64(at + 24, BigInt(offsets[i] ?? 0), true);
    data.setBigUint64(at + 32, BigInt(content.length), true);
    data.setUint32(at + 40, link, true);
    data.setUint32(at + 44, info, true);
    data.setBigUint64(at + 48, 16n, true);
    data.setBigUint64(at + 56, BigInt(entry), true);
  }
  return bytes;
}
