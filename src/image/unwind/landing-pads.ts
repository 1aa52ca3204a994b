// What the tables for exceptions of C++ and of gcc's cleanup name in code: instructions that may throw, and landing pads.
import type { ImageSegment } from '../memory.ts';
import { imageError } from '../reader.ts';
import { CallFrames } from './call-frames.ts';
import { Cursor, type FrameBytes, OMIT } from './cursor.ts';

/** An image whose .eh_frame is relocated. */
export interface ThrowingImage {
  readonly name: string;
  readonly segments: readonly ImageSegment[];
  readonly ehFrame: { readonly address: bigint; readonly bytes: Uint8Array } | undefined;
}

/**
 * Addresses of both: where an instruction that may throw is moved away, or a pad is overwritten, the exception finds no
 * handler (C6). Tables of call sites are as gcc and clang write them (.gcc_except_table, the LSDA of the Itanium C++ ABI);
 * regions without a landing pad name nothing.
 *
 * @throws {ImageError} ENOEXEC a table, or .eh_frame itself, is malformed
 */
export function landingPads(image: ThrowingImage): bigint[] {
  const { name, ehFrame } = image;
  if (ehFrame === undefined) return [];
  const found = new Set<bigint>();
  for (const { start, lsda } of CallFrames.read({ image: name, ...ehFrame }).described) {
    if (lsda === undefined) continue;
    for (const place of callSites(tableAt(image, lsda), start)) found.add(place);
  }
  return [...found];
}

/** The bytes from a table's start to the end of what it lies in. */
function tableAt({ name, segments }: ThrowingImage, lsda: bigint): FrameBytes {
  const segment = segments.find(({ address, bytes }) => lsda >= address && lsda < address + BigInt(bytes.length));
  if (segment === undefined) {
    throw imageError(name, 'ENOEXEC', `a table for exceptions lies at 0x${lsda.toString(16)}, outside of it`, {
      section: SECTION,
    });
  }
  const bytes = segment.bytes.subarray(Number(lsda - segment.address));
  return { image: name, address: lsda, bytes, section: SECTION };
}

const SECTION = '.gcc_except_table';

/** Where each region that has a landing pad begins, and the pad. */
function callSites(table: FrameBytes, start: bigint): bigint[] {
  const head = new Cursor(table, 0, table.bytes.length);
  const baseEncoding = head.u8();
  const base = baseEncoding === OMIT ? start : head.pointer(baseEncoding);
  if (head.u8() !== OMIT) head.uleb(); // where the types are
  const encoding = head.u8();
  const sites = head.slice(head.length());
  const found: bigint[] = [];
  while (sites.left > 0) {
    const region = sites.size(encoding);
    sites.size(encoding); // its length
    const pad = sites.size(encoding);
    sites.uleb(); // the action
    if (pad !== 0n) found.push(start + region, base + pad);
  }
  return found;
}
