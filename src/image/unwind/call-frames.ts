// The call frame information of one image: CIEs and FDEs of its .eh_frame, and the row that holds at an address
// (LSB Core 5, "Exception Frames").
import { wrap } from '../../address.ts';
import { imageError } from '../reader.ts';
import { CfaProgram, type ProgramContext } from './cfa-program.ts';
import { Cursor, type FrameBytes, OMIT } from './cursor.ts';
import { type FrameRow, RETURN_ADDRESS } from './frame-row.ts';

/** A common information entry. */
interface Cie extends ProgramContext {
  /** FDEs have augmentation data, its length first. */
  readonly augmented: boolean;
  /** How FDEs point to their tables for exceptions. */
  readonly lsdaEncoding: number;
  readonly signal: boolean;
  readonly instructions: { readonly at: number; readonly end: number };
}

/** A frame description entry: code from `start` up to `end`. */
interface Fde {
  readonly start: bigint;
  readonly end: bigint;
  /** Its table for exceptions (language-specific data area). */
  readonly lsda: bigint | undefined;
  readonly cie: Cie;
  readonly instructions: { readonly at: number; readonly end: number };
}

/** A length field that says that 64 bits follow. */
const EXTENDED = 0xffffffff;

/** The frames of one image. */
export class CallFrames {
  readonly #source: FrameBytes;
  /** By ascending address; none overlap. */
  readonly #fdes: readonly Fde[];

  private constructor(source: FrameBytes, fdes: readonly Fde[]) {
    this.#source = source;
    this.#fdes = fdes;
  }

  /**
   * Reads all entries.
   * @throws {ImageError} ENOEXEC malformed or an encoding that is not known · EINVAL two entries describe the same code.
   * The message says where in the section.
   */
  static read(source: FrameBytes): CallFrames {
    const fdes = readEntries(source).sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    for (const [i, { start }] of fdes.entries()) {
      const before = fdes[i - 1];
      if (before === undefined || before.end <= start) continue;
      throw imageError(source.image, 'EINVAL', `two entries describe 0x${start.toString(16)}`, {
        section: '.eh_frame',
      });
    }
    return new CallFrames(source, fdes);
  }

  /** How many functions are described. */
  get size(): number {
    return this.#fdes.length;
  }

  /** The code that is described, by ascending address, and where its table for exceptions is. */
  get described(): readonly { readonly start: bigint; readonly end: bigint; readonly lsda: bigint | undefined }[] {
    return this.#fdes;
  }

  /**
   * How the caller is found from the instruction at `ip`; undefined where no entry describes it. Takes steps in the
   * logarithm of the number of entries, and the instructions of one.
   * @throws {ImageError} ENOEXEC the entry's instructions are malformed
   */
  rowAt(ip: bigint): FrameRow | undefined {
    const fde = this.#holding(ip);
    if (fde === undefined) return undefined;
    const { cie } = fde;
    const program = new CfaProgram(cie);
    program.initialize(new Cursor(this.#source, cie.instructions.at, cie.instructions.end));
    const code = new Cursor(this.#source, fde.instructions.at, fde.instructions.end);
    program.run(code, fde.start, ip);
    const { cfa, rules } = program;
    if (cfa === undefined) throw code.error('the frame address is not defined');
    return { cfa, rules, signal: cie.signal };
  }

  #holding(ip: bigint): Fde | undefined {
    let low = 0;
    let high = this.#fdes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const fde = this.#fdes[middle];
      if (fde !== undefined && fde.start <= ip) low = middle + 1;
      else high = middle;
    }
    const fde = this.#fdes[low - 1];
    return fde !== undefined && ip < fde.end ? fde : undefined;
  }
}

function readEntries(source: FrameBytes): Fde[] {
  const fdes: Fde[] = [];
  const cies = new Map<number, Cie>();
  const section = new Cursor(source, 0, source.bytes.length);
  while (section.left > 0) {
    const start = section.at;
    const short = section.u32();
    if (short === 0) break; // the terminator
    const length = short === EXTENDED ? section.u64() : BigInt(short);
    if (length > BigInt(section.left)) throw section.error(`an entry of ${length} bytes ends outside of it`);
    const entry = section.slice(Number(length));
    const field = entry.at;
    const back = entry.u32();
    if (back === 0) {
      cies.set(start, readCie(entry));
      continue;
    }
    // a CIE stands before its FDEs; the pointer counts back from its own field
    const cie = cies.get(field - back);
    if (cie === undefined) throw entry.error('the entry names no CIE before it');
    const fde = readFde(entry, cie);
    if (fde.end > fde.start) fdes.push(fde);
  }
  return fdes;
}

function readCie(entry: Cursor): Cie {
  const version = entry.u8();
  if (version !== 1 && version !== 3) throw entry.error(`CIE version ${version} is not known`);
  const letters = entry.text();
  const codeAlign = entry.uleb();
  const dataAlign = entry.sleb();
  const column = version === 1 ? BigInt(entry.u8()) : entry.uleb();
  if (column !== BigInt(RETURN_ADDRESS)) throw entry.error(`the return address is in column ${column}, not 16`);
  const augmented = letters.startsWith('z');
  if (letters !== '' && !augmented) throw entry.error(`the augmentation '${letters}' is not known`);
  let pointerEncoding = 0;
  let lsdaEncoding = OMIT;
  let signal = false;
  if (augmented) {
    const data = entry.slice(entry.length());
    for (const letter of letters.slice(1)) {
      if (letter === 'R') pointerEncoding = data.u8();
      else if (letter === 'S') signal = true;
      else if (letter === 'L') lsdaEncoding = data.u8();
      else if (letter === 'P') skipPointer(data);
      else throw entry.error(`the augmentation '${letters}' is not known`);
    }
  }
  const instructions = { at: entry.at, end: entry.end };
  return { codeAlign, dataAlign, pointerEncoding, augmented, lsdaEncoding, signal, instructions };
}

function readFde(entry: Cursor, cie: Cie): Fde {
  const start = entry.pointer(cie.pointerEncoding);
  const end = wrap(start + entry.size(cie.pointerEncoding));
  if (end < start) throw entry.error('the code that is described ends past the last address');
  const data = cie.augmented ? entry.slice(entry.length()) : undefined;
  const pointed = data !== undefined && data.left > 0 && cie.lsdaEncoding !== OMIT;
  const lsda = pointed ? data.pointerOrNull(cie.lsdaEncoding) : undefined;
  return { start, end, lsda, cie, instructions: { at: entry.at, end: entry.end } };
}

/** The personality routine is of no interest, only the bytes it takes. */
function skipPointer(data: Cursor): void {
  const encoding = data.u8();
  if (encoding !== OMIT) data.size(encoding);
}
