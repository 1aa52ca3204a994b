// The func stacks as lists in guest memory, kept in step with the core: struct klp_ops and klp_func (L26, L29–L32).
import type { CoreObserver, FuncFlags, FuncHandle } from '../../core/core.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Arena } from '../code-arena.ts';
import { LAYOUT } from './handler.generated.ts';
import { Struct, writeU64 } from './memory.ts';

/** A function's klp_ops, and its funcs, newest first. */
interface Stack {
  readonly place: bigint;
  readonly funcs: { readonly handle: FuncHandle; readonly place: bigint }[];
}

const NODE = BigInt(LAYOUT.funcNode);

/** The stacks of one guest. */
export class GuestFuncStacks implements Pick<CoreObserver, 'pushed' | 'removed' | 'transitioned'> {
  readonly #engine: Engine;
  readonly #heap: Arena;
  readonly #stacks = new Map<bigint, Stack>();
  readonly #sites: Map<FuncHandle, bigint>;

  /** @param from those of the machine that this one is a fork of */
  constructor(engine: Engine, heap: Arena, from?: GuestFuncStacks) {
    this.#engine = engine;
    this.#heap = heap;
    this.#sites = new Map(from === undefined ? [] : from.#sites);
    if (from === undefined) return;
    for (const [site, { place, funcs }] of from.#stacks) this.#stacks.set(site, { place, funcs: [...funcs] });
  }

  /** Where the ftrace_ops of a site's klp_ops lies; undefined where the stack is empty. */
  opsOf(site: bigint): bigint | undefined {
    const stack = this.#stacks.get(site);
    return stack && stack.place + BigInt(LAYOUT.klpOpsFops);
  }

  /** list_add_rcu at the head (L30); the first func of a function makes its klp_ops (L29). */
  pushed(handle: FuncHandle, site: bigint, newFunc: bigint, { transition = false, nop = false }: FuncFlags): void {
    let stack = this.#stacks.get(site);
    if (stack === undefined) {
      stack = { place: this.#heap.allocate(LAYOUT.klpOps), funcs: [] };
      this.#stacks.set(site, stack);
      const head = headOf(stack);
      const list = new Struct(LAYOUT.klpOps).u64(LAYOUT.klpOpsStack, head).u64(LAYOUT.klpOpsStack + 8, head);
      this.#engine.write(stack.place, list.bytes);
    }
    const place = this.#heap.allocate(LAYOUT.func);
    const older = stack.funcs[0];
    const next = older === undefined ? headOf(stack) : older.place + NODE;
    const func = new Struct(LAYOUT.func)
      .u64(LAYOUT.funcNewFunc, newFunc)
      .u64(LAYOUT.funcOldFunc, site)
      .u64(LAYOUT.funcNode, next)
      .u64(LAYOUT.funcNode + 8, headOf(stack))
      .u8(LAYOUT.funcNop, Number(nop))
      .u8(LAYOUT.funcPatched, 1)
      .u8(LAYOUT.funcTransition, Number(transition));
    this.#engine.write(place, func.bytes);
    writeU64(this.#engine, next + 8n, place + NODE);
    writeU64(this.#engine, headOf(stack), place + NODE);
    stack.funcs.unshift({ handle, place });
    this.#sites.set(handle, site);
  }

  /** list_del_rcu at any place (L32); the last func takes its klp_ops along. */
  removed(handle: FuncHandle): void {
    const { stack, at, site } = this.#find(handle);
    const place = stack.funcs[at]?.place ?? 0n;
    const above = stack.funcs[at - 1];
    const below = stack.funcs[at + 1];
    const previous = above === undefined ? headOf(stack) : above.place + NODE;
    const next = below === undefined ? headOf(stack) : below.place + NODE;
    writeU64(this.#engine, next + 8n, previous);
    writeU64(this.#engine, previous, next);
    stack.funcs.splice(at, 1);
    this.#sites.delete(handle);
    this.#heap.free(place, LAYOUT.func);
    if (stack.funcs.length > 0) return;
    this.#heap.free(stack.place, LAYOUT.klpOps);
    this.#stacks.delete(site);
  }

  transitioned(handle: FuncHandle, on: boolean): void {
    const { stack, at } = this.#find(handle);
    const place = stack.funcs[at]?.place ?? 0n;
    this.#engine.write(place + BigInt(LAYOUT.funcTransition), Uint8Array.of(Number(on)));
  }

  #find(handle: FuncHandle): { stack: Stack; at: number; site: bigint } {
    const site = this.#sites.get(handle) ?? 0n;
    const stack = this.#stacks.get(site);
    const at = stack?.funcs.findIndex((func) => func.handle === handle) ?? -1;
    if (stack === undefined || at < 0) throw new Error(`func ${handle} is on no stack of the guest`);
    return { stack, at, site };
  }
}

function headOf(stack: Stack): bigint {
  return stack.place + BigInt(LAYOUT.klpOpsStack);
}
