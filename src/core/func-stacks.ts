// The func stacks of all sites: push on top, remove from any position, look at one (L26 to L32).
import { address, hex } from '../address.ts';
import { PatchError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import { check, NO_MEMORY } from './errno.ts';
import type { Layout } from './layout.ts';

/** A Func on a stack: its offset in WASM memory, never 0. It is used again after the Func is removed. */
export type FuncHandle = number;

/** One implementation of a function. */
export interface FuncEntry {
  handle: FuncHandle;
  /** The site whose stack it is on. */
  site: bigint;
  newFunc: bigint;
  /** The number the caller gave to its patch. */
  owner: number;
  /** Only patched tasks see it. */
  transition: boolean;
  /** It stands for the original (L56). */
  nop: boolean;
}

/** What a Func is pushed with; both are false by default. */
export interface FuncFlags {
  transition?: boolean;
  nop?: boolean;
}

/** The stacks of one core. */
export class FuncStacks {
  readonly #instance: Instance;
  readonly #layout: Layout;

  constructor(instance: Instance, layout: Layout) {
    this.#instance = instance;
    this.#layout = layout;
  }

  /**
   * Pushes an implementation on top of a site's stack.
   *
   * @throws {PatchError} ENOMEM a pool is full (the message names it and its capacity) · EINVAL `newFunc` is 0
   * @throws {RangeError} an address does not fit in 64 bits, or `owner` not in 32
   */
  push(site: bigint, newFunc: bigint, owner: number, { transition = false, nop = false }: FuncFlags): FuncHandle {
    address(site, 'site');
    address(newFunc, 'newFunc');
    if (owner >>> 0 !== owner) throw new RangeError(`"owner" expected an unsigned 32-bit integer, got ${owner}`);
    const wasm = this.#instance.exports;
    const flags = (transition ? this.#layout.transition : 0) | (nop ? this.#layout.nop : 0);
    const result = wasm.pushFunc(site, newFunc, owner, flags);
    if (result === NO_MEMORY) throw this.#full(site);
    return check(result, 'push', () => `new function ${hex(newFunc)} of site ${hex(site)} stands for the original`);
  }

  /**
   * Removes an implementation from any position.
   * @throws {PatchError} EINVAL the handle names none
   */
  remove(func: FuncHandle): void {
    check(this.#instance.exports.removeFunc(func), 'remove', () => `handle ${func} names no func`);
  }

  /**
   * Makes implementations visible to patched tasks only, or to all.
   * @throws {PatchError} EINVAL a handle names none; those before it are changed back
   */
  setTransition(funcs: readonly FuncHandle[], on: boolean): void {
    const wasm = this.#instance.exports;
    const unknown = funcs.find((func) => !wasm.isFunc(func));
    if (unknown !== undefined) {
      throw new PatchError('EINVAL', `handle ${unknown} names no func`, { operation: 'transition' });
    }
    for (const func of funcs) wasm.setTransition(func, on);
  }

  /** The Func on top of a site's stack, 0 when the stack is empty. */
  top(site: bigint): FuncHandle {
    return this.#instance.exports.topFunc(address(site, 'site'));
  }

  /** A site's stack, newest first; empty where the site has none. */
  stack(site: bigint): FuncEntry[] {
    const { u32 } = this.#instance;
    const entries: FuncEntry[] = [];
    for (let at = this.top(site); at !== 0; at = u32[(at + this.#layout.funcBelow) >>> 2] ?? 0) {
      entries.push(this.#read(at));
    }
    return entries;
  }

  /**
   * One implementation.
   * @throws {PatchError} EINVAL the handle names none
   */
  entry(func: FuncHandle): FuncEntry {
    if (!this.#instance.exports.isFunc(func)) {
      throw new PatchError('EINVAL', `handle ${func} names no func`, { operation: 'read' });
    }
    return this.#read(func);
  }

  #read(handle: FuncHandle): FuncEntry {
    const { u32, u64 } = this.#instance;
    const { funcIp, funcNewFunc, funcOwner, funcFlags, transition, nop } = this.#layout;
    const flags = u32[(handle + funcFlags) >>> 2] ?? 0;
    return {
      handle,
      site: u64[(handle + funcIp) >>> 3] ?? 0n,
      newFunc: u64[(handle + funcNewFunc) >>> 3] ?? 0n,
      owner: u32[(handle + funcOwner) >>> 2] ?? 0,
      transition: (flags & transition) !== 0,
      nop: (flags & nop) !== 0,
    };
  }

  #full(site: bigint): PatchError {
    const wasm = this.#instance.exports;
    const funcs = wasm.funcCapacity() >>> 0;
    const pool =
      wasm.funcsUsed() >>> 0 === funcs ? `pool of ${funcs} funcs` : `pool of ${wasm.siteCapacity() >>> 0} sites`;
    return new PatchError('ENOMEM', `no room for site ${hex(site)}, the ${pool} is full`, { operation: 'push' });
  }
}
