// What a finding carries so that it can be seen again: bytes, map, registers and memory, as plain JSON.
import { hex, hexBytes, PAGE_SIZE, pageFloor } from '../address.ts';
import type { DecodeMode } from '../x86/operands.ts';
import type { Segment } from './space.ts';
import { type State, World } from './world.ts';

/** Bytes at a guest address. */
export interface Placed {
  readonly address: string;
  /** Hex digits. */
  readonly bytes: string;
}

/** Code that runs from `entry` until it comes to `end` or leaves `bytes`. Where places overlap, the first one counts. */
export interface ReplaySide {
  readonly entry: string;
  /** Absent: it ends where it leaves its bytes. */
  readonly end?: string;
  readonly bytes: readonly Placed[];
}

/** All that is needed to run a finding again, on any x86 CPU. */
export interface Replay extends ReplaySide {
  readonly bitness: 16 | 32 | 64;
  /** AMD's reading of 66-prefixed branches (C12). */
  readonly amd?: boolean;
  /** Pages that must be there, zeroed. */
  readonly map: readonly { readonly address: string; readonly size: string }[];
  /** General registers, fsBase, gsBase, rflags and xmm0 to xmm15; empty where a rule decides and no run shows it. */
  readonly registers: Readonly<Record<string, string>>;
  /** What the pages hold beyond the code. */
  readonly memory: readonly Placed[];
  /** The side that this one must do the same as, run from the same registers and memory. */
  readonly original?: ReplaySide;
  /** Bytes that a patch has overwritten: the run ends where it comes to them (C4). */
  readonly patched?: { readonly address: string; readonly length: number };
  /** Registers that may differ at the end. */
  readonly ignored?: readonly string[];
  /** What a handler does when the CPU comes to its address: these bytes are written, once. */
  readonly handler?: { readonly address: string; readonly writes: readonly Placed[] };
}

/** One side as the judges hold it. */
export interface SideParts {
  readonly entry: bigint;
  readonly end?: bigint | undefined;
  readonly code: readonly Segment[];
}

/** A scene in the judges' own form. */
export interface ReplayParts extends SideParts {
  readonly mode: DecodeMode;
  readonly state?: State | undefined;
  readonly memory?: readonly Segment[];
  readonly original?: SideParts;
  readonly patched?: { readonly address: bigint; readonly length: number } | undefined;
  readonly ignored?: Iterable<string>;
  readonly handler?: { readonly address: bigint; readonly writes: readonly Segment[] } | undefined;
}

/** A scene as JSON; the map covers all that it names. */
export function replayOf(parts: ReplayParts): Replay {
  const { mode, state, memory = [], original, patched, handler } = parts;
  const ignored = [...(parts.ignored ?? [])];
  const all = [...parts.code, ...(original?.code ?? []), ...memory, ...(handler?.writes ?? [])];
  return {
    ...side(parts),
    bitness: mode.bitness,
    ...(mode.amd === true ? { amd: true } : {}),
    map: pagesOf(all),
    registers: state === undefined ? {} : World.show(state),
    memory: memory.map(placed),
    ...(original === undefined ? {} : { original: side(original) }),
    ...(patched === undefined ? {} : { patched: { address: hex(patched.address), length: patched.length } }),
    ...(ignored.length === 0 ? {} : { ignored }),
    ...(handler === undefined
      ? {}
      : { handler: { address: hex(handler.address), writes: handler.writes.map(placed) } }),
  };
}

function side({ entry, end, code }: SideParts): ReplaySide {
  return { entry: hex(entry), ...(end === undefined ? {} : { end: hex(end) }), bytes: code.map(placed) };
}

function placed({ address, bytes }: Segment): Placed {
  return { address: hex(address), bytes: hexBytes(bytes) };
}

function pagesOf(segments: readonly Segment[]): { address: string; size: string }[] {
  const pages = new Set<bigint>();
  for (const { address, bytes } of segments) {
    for (let page = pageFloor(address); page < address + BigInt(bytes.length); page += PAGE_SIZE) pages.add(page);
  }
  const runs: { address: bigint; size: bigint }[] = [];
  for (const page of [...pages].sort((a, b) => (a < b ? -1 : 1))) {
    const last = runs.at(-1);
    if (last !== undefined && last.address + last.size === page) last.size += PAGE_SIZE;
    else runs.push({ address: page, size: PAGE_SIZE });
  }
  return runs.map(({ address, size }) => ({ address: hex(address), size: hex(size) }));
}
