// Reads a finding out of a `tramp64-check/1` document that somebody else may have written: nothing in it is trusted.
import { ADDRESS_LIMIT, PAGE_SIZE } from '../address.ts';
import { ScenarioError } from '../errors.ts';
import type { Placed, Replay, ReplaySide } from './replay.ts';

/** A finding that can be stepped through. */
export interface StoredFinding {
  readonly id: string;
  readonly rule: string;
  readonly name: string;
  readonly message: string;
  readonly address: string;
  readonly replay: Replay;
}

/** Larger replays than these are refused. */
const MAX_PLACES = 4096;
const MAX_BYTES = 65_536;
const MAX_PAGES = 1024;

type Raw = Readonly<Record<string, unknown>>;

/**
 * The finding with an id, or the first one of the case with this id.
 *
 * @param document parsed JSON
 * @param file its name, for messages
 * @throws {ScenarioError} ENOENT no such finding · EINVAL not a result of `check`, or a replay that is malformed
 */
export function findingIn(document: unknown, id: string, file: string): StoredFinding {
  const root = asRecord(document);
  if (root?.format !== 'tramp64-check/1' || !Array.isArray(root.cases)) {
    throw wrong(file, '$.format', 'expected a result of `tramp64 check --json` ("tramp64-check/1")');
  }
  const known: string[] = [];
  for (const [i, item] of (root.cases as unknown[]).entries()) {
    const one = asRecord(item);
    const findings: unknown = one?.findings;
    if (one === undefined || !Array.isArray(findings)) continue;
    for (const [j, found] of (findings as unknown[]).entries()) {
      const finding = asRecord(found);
      if (finding === undefined) continue;
      known.push(String(finding.id));
      if (finding.id !== id && !(one.id === id && j === 0)) continue;
      return stored(finding, new Reader(file, `$.cases[${i}].findings[${j}]`));
    }
  }
  const some =
    known.length === 0 ? 'it has none' : `it has ${known.slice(0, 5).join(', ')}${known.length > 5 ? ' …' : ''}`;
  throw new ScenarioError('ENOENT', `'${file}' has no finding '${id.slice(0, 80)}'; ${some}`, {
    operation: 'trace',
    file,
  });
}

function stored(finding: Raw, read: Reader): StoredFinding {
  const text = (name: string): string => (typeof finding[name] === 'string' ? (finding[name] as string) : '');
  const replay = read.record(finding.replay, '.replay');
  const { bitness, amd, patched, original, handler } = replay;
  if (bitness !== 16 && bitness !== 32 && bitness !== 64) throw read.wrong('.replay.bitness', 'expected 16, 32 or 64');
  const own = read.side(replay, '.replay');
  return {
    id: text('id'),
    rule: text('rule'),
    name: text('name'),
    message: text('message'),
    address: text('address') === '' ? own.entry : read.address(finding.address, '.address'),
    replay: {
      ...own,
      bitness,
      ...(amd === true ? { amd } : {}),
      map: read.map(replay.map, '.replay.map'),
      registers: read.registers(replay.registers, '.replay.registers'),
      memory: read.places(replay.memory, '.replay.memory'),
      ...(original === undefined
        ? {}
        : { original: read.side(read.record(original, '.replay.original'), '.replay.original') }),
      ...(patched === undefined ? {} : { patched: read.patched(patched, '.replay.patched') }),
      ...(Array.isArray(replay.ignored) ? { ignored: replay.ignored.map(String) } : {}),
      ...(handler === undefined ? {} : { handler: read.handler(handler, '.replay.handler') }),
    },
  };
}

/** Checks one replay; every complaint names the place in the document. */
class Reader {
  readonly #file: string;
  readonly #at: string;

  constructor(file: string, at: string) {
    this.#file = file;
    this.#at = at;
  }

  wrong(where: string, fact: string): ScenarioError {
    return wrong(this.#file, `${this.#at}${where}`, fact);
  }

  record(value: unknown, where: string): Raw {
    const record = asRecord(value);
    if (record === undefined) throw this.wrong(where, 'expected an object');
    return record;
  }

  address(value: unknown, where: string): string {
    if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/i.test(value)) {
      throw this.wrong(where, 'expected an address such as "0x401000"');
    }
    return value;
  }

  count(value: unknown, where: string): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_BYTES) {
      throw this.wrong(where, `expected a count of bytes, at most ${MAX_BYTES}`);
    }
    return value;
  }

  places(value: unknown, where: string): Placed[] {
    if (!Array.isArray(value) || value.length > MAX_PLACES) {
      throw this.wrong(where, `expected a list of at most ${MAX_PLACES} places`);
    }
    return value.map((item: unknown, i) => {
      const at = `${where}[${i}]`;
      const { address, bytes } = this.record(item, at);
      if (typeof bytes !== 'string' || !/^([0-9a-f]{2})*$/i.test(bytes) || bytes.length > 2 * MAX_BYTES) {
        throw this.wrong(`${at}.bytes`, `expected hex digits of at most ${MAX_BYTES} bytes`);
      }
      return { address: this.address(address, `${at}.address`), bytes };
    });
  }

  side({ entry, end, bytes }: Raw, where: string): ReplaySide {
    return {
      entry: this.address(entry, `${where}.entry`),
      ...(end === undefined ? {} : { end: this.address(end, `${where}.end`) }),
      bytes: this.places(bytes, `${where}.bytes`),
    };
  }

  map(value: unknown, where: string): { address: string; size: string }[] {
    if (!Array.isArray(value) || value.length > MAX_PLACES) throw this.wrong(where, 'expected a list of pages');
    let pages = 0n;
    return value.map((item: unknown, i) => {
      const at = `${where}[${i}]`;
      const { address, size } = this.record(item, at);
      const row = { address: this.address(address, `${at}.address`), size: this.address(size, `${at}.size`) };
      const [start, length] = [BigInt(row.address), BigInt(row.size)];
      if (start % PAGE_SIZE !== 0n || length % PAGE_SIZE !== 0n || start + length > ADDRESS_LIMIT) {
        throw this.wrong(at, `expected whole pages of ${PAGE_SIZE} bytes`);
      }
      pages += length / PAGE_SIZE;
      if (pages > MAX_PAGES) throw this.wrong(where, `more than ${MAX_PAGES} pages`);
      return row;
    });
  }

  registers(value: unknown, where: string): Record<string, string> {
    const registers: Record<string, string> = {};
    for (const [name, text] of Object.entries(this.record(value, where))) {
      const form = /^xmm(\d|1[0-5])$/.test(name) ? /^[0-9a-f]{32}$/i : /^0x[0-9a-f]{1,16}$/i;
      if (!/^([a-z0-9]{2,6}|[fg]sBase)$/.test(name) || typeof text !== 'string' || !form.test(text)) {
        throw this.wrong(`${where}.${name.slice(0, 20)}`, 'expected a register such as "rax": "0x1"');
      }
      registers[name] = text;
    }
    return registers;
  }

  patched(value: unknown, where: string): { address: string; length: number } {
    const { address, length } = this.record(value, where);
    return { address: this.address(address, `${where}.address`), length: this.count(length, `${where}.length`) };
  }

  handler(value: unknown, where: string): { address: string; writes: Placed[] } {
    const { address, writes } = this.record(value, where);
    return { address: this.address(address, `${where}.address`), writes: this.places(writes, `${where}.writes`) };
  }
}

function asRecord(value: unknown): Raw | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Raw) : undefined;
}

function wrong(file: string, jsonPath: string, fact: string): ScenarioError {
  return new ScenarioError('EINVAL', `${file} ${jsonPath}: ${fact}`, { operation: 'trace', file, jsonPath });
}
