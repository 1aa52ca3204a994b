// A plain model of one site and its users, written from rules F33–F43 and L26–L42; shares no code with src/.

/** A user that comes and goes by its name. */
export type UserName = 'a' | 'b' | 'd' | 'g' | 'k' | 'q';

/** What may be done. */
export type Step =
  | { readonly kind: 'add' | 'remove'; readonly name: UserName }
  | { readonly kind: 'enable' | 'disable'; readonly patch: 'fix_a' | 'fix_b' }
  | { readonly kind: 'sysctl'; readonly on: boolean };

/** What a call does. */
export interface Expected {
  /** Who notes something, in order. */
  readonly notes: string;
  readonly runs: string;
  /** What the site's call goes to. */
  readonly calls: 'nop' | 'own' | 'direct' | 'args' | 'regs';
  /** The ops in the order in which they are called. */
  readonly order: readonly string[];
}

/** Of each user: its ops, what that wants, and what it notes when it is called, later by a direct call, and at the return. */
const USERS: Readonly<
  Record<UserName, { ops: string; regs: boolean; ip: boolean; now: string; direct: string; end: string }>
> = {
  a: { ops: 'a', regs: false, ip: false, now: 'a', direct: '', end: '' },
  b: { ops: 'b', regs: true, ip: false, now: 'b', direct: '', end: '' },
  d: { ops: 'd', regs: true, ip: false, now: '', direct: 'd', end: '' },
  g: { ops: 'g', regs: false, ip: false, now: 'E', direct: '', end: 'R' },
  k: { ops: 'kprobe_ftrace_ops', regs: true, ip: false, now: 'p', direct: '', end: '' },
  q: { ops: 'kprobe_ipmodify_ops', regs: true, ip: true, now: 'q', direct: '', end: '' },
};

/** One site. */
export class SiteModel {
  /** Oldest first; `lp` is livepatch's ops. */
  #users: (UserName | 'lp')[] = [];
  /** Enabled patches, the oldest first. */
  #patches: string[] = [];
  #on = true;
  readonly counts: Record<UserName, number> = { a: 0, b: 0, d: 0, g: 0, k: 0, q: 0 };

  /** Does a step; returns the code of its refusal, which changes nothing. */
  do(step: Step): string | undefined {
    switch (step.kind) {
      case 'add':
        if (this.#users.includes(step.name)) return 'EEXIST';
        if (USERS[step.name].ip && this.#users.includes('lp')) return 'EBUSY'; // F40, F42
        this.#users.push(step.name);
        this.counts[step.name] = 0;
        return undefined;
      case 'remove':
        if (!this.#users.includes(step.name)) return 'ENOENT';
        this.#users = this.#users.filter((one) => one !== step.name);
        return undefined;
      case 'enable':
        if (this.#patches.includes(step.patch)) return 'EEXIST';
        if (this.#patches.length === 0) {
          if (!this.#on) return 'EBUSY'; // F38
          if (this.#users.includes('q')) return 'EBUSY'; // F40
          this.#users.push('lp');
        }
        this.#patches.push(step.patch);
        return undefined;
      case 'disable':
        if (!this.#patches.includes(step.patch)) return 'EINVAL';
        this.#patches = this.#patches.filter((one) => one !== step.patch);
        if (this.#patches.length === 0) this.#users = this.#users.filter((one) => one !== 'lp');
        return undefined;
      default:
        if (!step.on && this.#users.includes('lp')) return 'EBUSY'; // F43
        this.#on = step.on;
        return undefined;
    }
  }

  /** What a call does now. */
  expected(): Expected {
    const newest = [...this.#users].reverse();
    const order = newest.map((name) => (name === 'lp' ? 'checksum' : USERS[name].ops));
    const original = 'vmlinux:checksum';
    if (!this.#on || newest.length === 0) return { notes: '', runs: original, calls: 'nop', order };
    const tracers = newest.filter((name): name is UserName => name !== 'lp').map((name) => USERS[name]);
    const top = this.#patches.at(-1);
    const notes = (['now', 'direct', 'end'] as const).map((when) => tracers.map((one) => one[when]).join('')).join('');
    const shared = tracers.some((one) => one.regs) ? 'regs' : 'args';
    const alone = newest[0] === 'd' ? 'direct' : 'own';
    return {
      notes,
      runs: top === undefined ? original : `${top}:livepatch_checksum`,
      calls: newest.length > 1 ? shared : alone,
      order,
    };
  }

  /** A call has been made. */
  called(): void {
    if (!this.#on) return;
    // ftrace is not asked where the site calls the direct trampoline itself, nor does a direct ops count
    for (const name of this.#users) if (name !== 'lp' && name !== 'd') this.counts[name]++;
  }

  /** What takes all users off. */
  undo(): Step[] {
    return [
      { kind: 'sysctl', on: true },
      ...this.#users.flatMap((name): Step[] => (name === 'lp' ? [] : [{ kind: 'remove', name }])),
      ...this.#patches.map((patch): Step => ({ kind: 'disable', patch: patch as 'fix_a' })),
    ];
  }
}
