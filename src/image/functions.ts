// The functions of an image by address: which symbol a site belongs to, and which one comes next.

import type { ImageMemory } from './memory.ts';
import type { LoadedSymbol } from './symbols.ts';

/** The code at one address: a function symbol and the others that name the same address. */
export interface Body {
  readonly address: bigint;
  /** Bytes of code; up to the next function where the symbol says 0, and never past its segment. */
  readonly extent: number;
  /** The symbol that the site is named after: global before weak before local, then table order. */
  readonly primary: LoadedSymbol;
  readonly aliases: readonly LoadedSymbol[];
}

/** Finds function bodies by address. */
export class FunctionMap {
  /** By ascending address. */
  readonly bodies: readonly Body[];

  /**
   * @param symbols function symbols, in table order
   * @param memory those outside executable memory are left out
   */
  constructor(symbols: readonly LoadedSymbol[], memory: ImageMemory) {
    const byAddress = new Map<bigint, LoadedSymbol[]>();
    for (const symbol of symbols) {
      if (memory.code(symbol.address, 1) === undefined) continue;
      const same = byAddress.get(symbol.address);
      if (same === undefined) byAddress.set(symbol.address, [symbol]);
      else same.push(symbol);
    }
    const starts = [...byAddress.keys()].sort((a, b) => (a < b ? -1 : 1));
    this.bodies = starts.map((address, i) => {
      const names = [...(byAddress.get(address) ?? [])].sort((a, b) => rank(a) - rank(b) || a.index - b.index);
      const [primary, ...aliases] = names as [LoadedSymbol, ...LoadedSymbol[]];
      const segment = memory.segmentAt(address);
      const room = segment === undefined ? 0n : segment.address + BigInt(segment.bytes.length) - address;
      let size = 0n;
      for (const each of names) if (each.size > size) size = each.size;
      const gap = (starts[i + 1] ?? address + room) - address;
      const extent = size === 0n ? gap : size;
      return { address, extent: Number(extent < room ? extent : room), primary, aliases };
    });
  }

  /** The body that `address` lies in, or undefined. */
  covering(address: bigint): Body | undefined {
    const body = this.bodies[this.#after(address) - 1];
    return body !== undefined && address < body.address + BigInt(body.extent) ? body : undefined;
  }

  /** The first body that starts at `address` or after it. */
  atOrAfter(address: bigint): Body | undefined {
    return this.bodies[this.#after(address - 1n)];
  }

  // How many bodies start at or before the address.
  #after(address: bigint): number {
    let low = 0;
    let high = this.bodies.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const body = this.bodies[middle];
      if (body !== undefined && body.address <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function rank(symbol: LoadedSymbol): number {
  return ['global', 'weak', 'local'].indexOf(symbol.binding);
}
