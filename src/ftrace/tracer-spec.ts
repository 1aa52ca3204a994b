// What a tracer is made of, and what it has seen: the users of ftrace beside livepatch.
import type { OpsFlag, ShareCommand } from './ops.ts';

/** What a tracer is. */
export type TracerKind = 'ops' | 'direct' | 'graph' | 'kprobe';

/** A function that a tracer calls: a guest function by name or address, or one of the host. */
export type TracerFunction<Host> = string | bigint | Host;

/** What a tracer is made of. `Host` is what the machine takes as a host function. */
export interface TracerSpec<Host> {
  /** Unique among the tracers. */
  readonly name: string;
  /** `ops` by default. */
  readonly kind?: TracerKind;
  /**
   * Functions to trace, as set_ftrace_filter takes them: `f`, `f*`, `*f`, `*f*`, `f?[a-z]`, `!f*`, `f*:mod:m`, `image:f*`.
   * None: all functions, those of modules that come later as well (ops and graph only).
   */
  readonly filter?: readonly string[];
  /** Functions not to trace, as in `filter`. */
  readonly notrace?: readonly string[];
  /** Of kind ops; the other kinds have their own. */
  readonly flags?: readonly OpsFlag[];
  /**
   * ops: called at each function with rdi = site, rsi = parent, rdx = ops, rcx = regs; without one calls are only counted.
   * direct: where calls go; it returns to the function. graph: called at the entry with a pointer to
   * { u64 func; int depth }, 0 in eax leaves the return alone. kprobe: the pre_handler (kprobe, regs); what is not 0 in
   * eax keeps the ip that it has set.
   */
  readonly target?: TracerFunction<Host>;
  /** graph: called at the return, as at the entry. kprobe: the post_handler, which takes ip for itself (F42). */
  readonly postTarget?: TracerFunction<Host>;
  /** direct: what it answers when it is to share a function with a livepatch, 0 or -errno (F41). */
  readonly opsFunc?: (command: ShareCommand) => number;
}

/** What a tracer has seen. */
export interface TracerCounts {
  /** ops: calls. graph: calls whose return was hooked. kprobe: hits. direct: none, as ftrace is not asked. */
  readonly calls: bigint;
  /** graph: hooked calls that have returned. */
  readonly returns: bigint;
  /** graph: calls that were left alone as the shadow stack was full. kprobe: hits from inside a handler. */
  readonly missed: bigint;
}
