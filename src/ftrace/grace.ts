// Memory that a task may still be running in: it is given back when no task stands in ftrace's code any more.

/**
 * What synchronize_rcu_tasks is to the kernel (F31). The kernel's caller waits; here the caller goes on, and the memory
 * is kept until the tasks that stand in a trampoline, or in a handler that was called by one, have left.
 */
export class GracePeriod {
  readonly #quiet: () => boolean;
  #waiting: (() => void)[] = [];

  /** @param quiet whether no waiting task stands in ftrace's code */
  constructor(quiet: () => boolean) {
    this.#quiet = quiet;
  }

  /** Frees now, or later. */
  defer(free: () => void): void {
    this.#waiting.push(free);
    this.flush();
  }

  /** Frees what waits, where it may be freed. */
  flush(): void {
    if (this.#waiting.length === 0 || !this.#quiet()) return;
    for (const free of this.#waiting.splice(0)) free();
  }
}
