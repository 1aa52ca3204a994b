// The probe functions that stand for new functions when an image is verified: a small object, made here byte by byte.
import { assemble, int3, label, movImm32, ret } from '../x86/encode.ts';

/** The image that holds the probes. */
export const PROBE_IMAGE = 'probes';

/** The probes; each one returns its own number. */
export const PROBES = ['probe_a', 'probe_b', 'probe_c'] as const;

const EHDR = 64;
const SHDR = 64;
const SYM = 24;
/** Bytes from one probe to the next. */
const SPACING = 16;

/**
 * An ELF64 relocatable object with the probe functions in .text (System V gABI, "Object Files"). It goes through the
 * same loader as any other image, so that patches name the probes as they name every new function.
 */
export function probeObject(): Uint8Array {
  const { bytes: text } = assemble(
    0n,
    PROBES.flatMap((name, i) => {
      const body = [label(name), movImm32('rax', i + 1), ret()];
      const length = body.reduce((sum, { length }) => sum + length, 0);
      return [...body, ...Array.from({ length: SPACING - length }, int3)];
    }),
  );
  const names = stringTable(PROBES);
  const sectionNames = stringTable(['.text', '.symtab', '.strtab', '.shstrtab']);
  const symbols = new Uint8Array(SYM * (1 + PROBES.length));
  PROBES.forEach((name, i) => {
    const view = new DataView(symbols.buffer, SYM * (i + 1), SYM);
    view.setUint32(0, names.offsets.get(name) ?? 0, true);
    view.setUint8(4, 0x12); // global function
    view.setUint16(6, 1, true); // in section 1
    view.setBigUint64(8, BigInt(SPACING * i), true);
    view.setBigUint64(16, BigInt(SPACING), true);
  });
  const parts = [text, symbols, names.bytes, sectionNames.bytes];
  const places: number[] = [];
  let end = EHDR;
  for (const part of parts) {
    places.push(end);
    end += (part.length + 7) & ~7;
  }
  const file = new Uint8Array(end + SHDR * 5);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bits, little-endian, version 1
  view.setUint16(16, 1, true); // relocatable
  view.setUint16(18, 62, true); // x86-64
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(end), true); // section headers
  view.setUint16(52, EHDR, true);
  view.setUint16(58, SHDR, true);
  view.setUint16(60, 5, true); // sections
  view.setUint16(62, 4, true); // .shstrtab
  parts.forEach((part, i) => {
    file.set(part, places[i]);
  });
  const header = (index: number, name: string, type: number, rest: Partial<Record<HeaderField, number>> = {}): void => {
    const at = end + SHDR * index;
    view.setUint32(at, sectionNames.offsets.get(name) ?? 0, true);
    view.setUint32(at + 4, type, true);
    view.setBigUint64(at + 8, BigInt(rest.flags ?? 0), true);
    view.setBigUint64(at + 24, BigInt(places[index - 1] ?? 0), true);
    view.setBigUint64(at + 32, BigInt(parts[index - 1]?.length ?? 0), true);
    view.setUint32(at + 40, rest.link ?? 0, true);
    view.setUint32(at + 44, rest.info ?? 0, true);
    view.setBigUint64(at + 48, BigInt(rest.align ?? 1), true);
    view.setBigUint64(at + 56, BigInt(rest.entrySize ?? 0), true);
  };
  header(1, '.text', 1, { flags: 6, align: SPACING }); // program bits, allocated and executable
  header(2, '.symtab', 2, { link: 3, info: 1, align: 8, entrySize: SYM }); // the first global symbol is number 1
  header(3, '.strtab', 3);
  header(4, '.shstrtab', 3);
  return file;
}

type HeaderField = 'flags' | 'link' | 'info' | 'align' | 'entrySize';

function stringTable(names: readonly string[]): { bytes: Uint8Array; offsets: ReadonlyMap<string, number> } {
  const offsets = new Map<string, number>();
  let text = '\0';
  for (const name of names) {
    offsets.set(name, text.length);
    text += `${name}\0`;
  }
  return { bytes: new TextEncoder().encode(text), offsets };
}
