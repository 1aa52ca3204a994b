// The part of @specy/x86's Unicorn 1.0.3 (JavaScript) that the adapter uses; the package ships no types for it.
declare module '@specy/x86/dist/x86/deps/unicorn-x86.min.js' {
  /** A number up to 2^53, or hex digits with `0x`. A bigint becomes 0 silently, so it is not in the type. */
  type Address = number | string;

  /** What `hook_add` returned; `hook_del` wants it back. */
  interface Hook {
    readonly handle: number;
    readonly callback: number;
  }

  interface Unicorn {
    mem_map(address: Address, size: number, access: number): void;
    mem_unmap(address: Address, size: number): void;
    mem_protect(address: Address, size: number, access: number): void;
    mem_read(address: Address, size: number): Uint8Array;
    mem_write(address: Address, bytes: ArrayLike<number>): void;
    reg_read(id: number, size: number): Uint8Array;
    reg_write(id: number, bytes: ArrayLike<number>): void;
    reg_read_i64(id: number): number;
    reg_write_i64(id: number, value: unknown): void;
    /** `begin > end` hooks everything; otherwise only the low 32 bits of either count. */
    hook_add(
      type: number,
      callback: (unicorn: Unicorn, ...values: number[]) => unknown,
      user: unknown,
      begin: number,
      end: number,
      instruction?: number,
    ): Hook;
    hook_del(hook: Hook): void;
    emu_start(from: Address, until: Address, timeout: number, count: number): void;
    emu_stop(): void;
    context_alloc(): unknown;
    mem_regions(): unknown;
    close(): void;
  }

  /** The library: a constructor, and every constant by name. */
  export const uc: { Unicorn: new (arch: number, mode: number) => Unicorn; version(): number } & {
    readonly [constant: string]: number;
  };
}
