// Do the unwind tables of a function say where its caller is, at every instruction? (C48)
import { hex } from '../address.ts';
import { CallFrames } from '../image/unwind/call-frames.ts';
import { RETURN_ADDRESS, RSP } from '../image/unwind/frame-row.ts';
import type { Facts } from '../x86/operands.ts';
import { type Finding, finding, type Judgement, located } from './finding.ts';
import { endsPath } from './reach.ts';
import { CodeSpace, checkPlace, type Segment } from './space.ts';

/** A function that is entered by a call, and the .eh_frame that describes it. */
export interface UnwindQuestion {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** The relocated section. */
  readonly ehFrame: Segment;
}

const RBP = 6;
const MOST_PLACES = 20_000;

/** What is known at a place: bytes between rsp, and rbp, and the canonical frame address; undefined where it is not. */
interface Depths {
  readonly rsp: bigint | undefined;
  readonly rbp: bigint | undefined;
}

/**
 * Judges the tables (C48): on every path from the entry the frame address that the row computes from rsp or rbp is the
 * right one, and the return address lies 8 bytes below it. A place that no entry describes, or where the depth is not
 * known from the instructions alone, is counted and not judged.
 *
 * @throws {ImageError} the section is malformed
 * @throws {RangeError} the function goes past the last address
 */
export function judgeUnwinding({ address, bytes, ehFrame }: UnwindQuestion): Judgement {
  const own: Segment = { address, bytes };
  checkPlace(own, 'bytes');
  const space = new CodeSpace([own], { bitness: 64 });
  const frames = CallFrames.read({ image: 'eh_frame', address: ehFrame.address, bytes: ehFrame.bytes });
  const entry = frames.rowAt(address)?.cfa;
  if (entry?.kind === 'register' && (entry.register !== RSP || entry.offset !== 8n)) {
    // the cold part of a function is jumped to: what it finds on the stack only its other part tells
    return { verdict: 'not-judged', reason: 'the table says that it is not entered by a call', findings: [] };
  }
  const findings: Finding[] = [];
  let judged = 0;
  let open = 0;
  const seen = new Set<string>();
  const todo: { ip: bigint; depths: Depths }[] = [{ ip: address, depths: { rsp: 8n, rbp: undefined } }];
  for (let next = todo.pop(); next !== undefined && seen.size < MOST_PLACES; next = todo.pop()) {
    const { ip, depths } = next;
    const facts = space.at(ip);
    const key = `${ip} ${depths.rsp} ${depths.rbp}`;
    if (facts === undefined || facts.kind === 'invalid' || seen.has(key)) continue;
    seen.add(key);
    const why = wrongRow(frames, ip, depths);
    if (why === undefined) open++;
    else judged++;
    if (why !== undefined && why !== '') findings.push(finding('C48', 'error', why, { at: facts, base: address }));
    const after = afterwards(facts, depths);
    if (facts.target !== undefined && facts.kind !== 'call') todo.push({ ip: facts.target, depths: after });
    if (!endsPath(facts)) todo.push({ ip: ip + BigInt(facts.length), depths: after });
  }
  const [first] = findings;
  const judgement: Judgement =
    first !== undefined
      ? { verdict: 'broken', reason: first.message, findings }
      : judged === 0
        ? { verdict: 'not-judged', reason: 'no entry describes the function', findings }
        : { verdict: 'equivalent', reason: `${judged} places unwind, ${open} are not known`, findings };
  return located(judgement, { mode: { bitness: 64 }, base: address, entry: address, code: [own] });
}

/** What is wrong with the row at `ip`, the empty text where nothing is, or undefined where it cannot be told. */
function wrongRow(frames: CallFrames, ip: bigint, { rsp, rbp }: Depths): string | undefined {
  const row = frames.rowAt(ip);
  if (row === undefined || row.cfa.kind !== 'register') return undefined;
  const { register, offset } = row.cfa;
  const depth = register === RSP ? rsp : register === RBP ? rbp : undefined;
  if (depth === undefined) return undefined;
  if (offset !== depth) {
    return `the table finds the caller's frame ${offset} bytes above ${register === RSP ? 'rsp' : 'rbp'}, it is ${depth} at ${hex(ip)}`;
  }
  const rule = row.rules[RETURN_ADDRESS];
  if (rule?.kind === 'offset' && rule.offset === -8n) return '';
  return 'the table does not find the return address right below the frame';
}

/** The depths after an instruction. */
function afterwards({ mnemonic, memory, reads, writes, immediate, kind }: Facts, { rsp, rbp }: Depths): Depths {
  const plus = (by: bigint): Depths => ({ rsp: rsp === undefined ? undefined : rsp + by, rbp });
  if (mnemonic === 'push' || mnemonic === 'pushfq') return plus(8n);
  if (mnemonic === 'popfq') return plus(-8n);
  if (mnemonic === 'pop') {
    const { rsp: less } = plus(-8n);
    return { rsp: less, rbp: writes.has('RBP') ? undefined : rbp };
  }
  if (mnemonic === 'leave') return { rsp: rbp === undefined ? undefined : rbp - 8n, rbp: undefined };
  if (kind === 'call' || kind === 'indirect-call') return { rsp, rbp };
  if (writes.has('RBP')) {
    const isCopy = mnemonic === 'mov' && reads.has('RSP') && memory === undefined;
    return { rsp, rbp: isCopy ? rsp : undefined };
  }
  if (!writes.has('RSP')) return { rsp, rbp };
  if (mnemonic === 'sub' && immediate !== undefined) return plus(BigInt.asIntN(64, immediate));
  if (mnemonic === 'add' && immediate !== undefined) return plus(-BigInt.asIntN(64, immediate));
  if (mnemonic === 'lea' && memory !== undefined && memory.index === 'None') {
    const from = memory.base === 'RSP' ? rsp : memory.base === 'RBP' ? rbp : undefined;
    return { rsp: from === undefined ? undefined : from - BigInt.asIntN(64, memory.displacement), rbp };
  }
  if (mnemonic === 'mov' && reads.has('RBP') && memory === undefined) return { rsp: rbp, rbp };
  return { rsp: undefined, rbp };
}
