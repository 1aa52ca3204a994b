// Livepatch written down once more, as plainly as the rules read (L26–L74): arrays and loops, nothing shared with src/.

export const FUNCTIONS = ['vmlinux:checksum', 'vmlinux:fibonacci', 'vmlinux:operate', 'mod:checksum', 'mod:divide'];

export interface ModelPatch {
  name: string;
  funcs: string[];
  replace: boolean;
  enabled: boolean;
  forced: boolean;
  /** Funcs that stand for originals. */
  nops: string[];
}

interface Entry {
  patch: ModelPatch;
  nop: boolean;
}

type State = 'idle' | 'unpatched' | 'patched';

/** What one operation must give: undefined, or an errno. */
export type Answer = string | undefined;

export class Model {
  patches: ModelPatch[] = [];
  /** Newest first. */
  stacks = new Map<string, Entry[]>(FUNCTIONS.map((name) => [name, []]));
  modLoaded = false;
  running: { patch: ModelPatch; target: 'patched' | 'unpatched' } | undefined;
  tasks = new Map<string, State>();
  onCpu = new Set<string>();
  held = new Set<string>();
  inserted = new Set<string>();

  readonly auto: boolean;

  constructor(tasks: readonly string[], auto: boolean) {
    this.auto = auto;
    for (const task of tasks) this.tasks.set(task, 'idle');
  }

  enable(name: string, funcs: readonly string[], replace: boolean): Answer {
    if (this.held.has(name)) return 'EEXIST';
    if (this.running) return 'EBUSY'; // L19
    const patch: ModelPatch = { name, funcs: [...funcs], replace, enabled: true, forced: false, nops: [] };
    if (replace) {
      for (const old of this.patches) {
        for (const func of old.funcs) if (!funcs.includes(func) && !patch.nops.includes(func)) patch.nops.push(func);
      }
    }
    this.patches.push(patch);
    this.held.add(name);
    this.inserted.add(name);
    this.begin(patch, 'patched');
    for (const func of FUNCTIONS) this.push(patch, func);
    this.tryComplete(this.auto);
    return undefined;
  }

  disable(name: string): Answer {
    const patch = this.patches.find((one) => one.name === name);
    if (!patch?.enabled) return 'EINVAL';
    if (this.running?.patch === patch) return this.reverse();
    if (this.running) return 'EBUSY'; // L47
    patch.enabled = false;
    this.begin(patch, 'unpatched');
    this.tryComplete(this.auto);
    return undefined;
  }

  reverse(): Answer {
    if (!this.running) return 'EINVAL';
    this.running.target = this.running.target === 'patched' ? 'unpatched' : 'patched';
    this.running.patch.enabled = this.running.target === 'patched';
    this.tryComplete(this.auto);
    return undefined;
  }

  force(): Answer {
    if (!this.running) return 'EINVAL';
    const { patch, target } = this.running;
    for (const task of this.tasks.keys()) this.tasks.set(task, target);
    if (target === 'unpatched') patch.forced = true;
    else if (patch.replace) for (const one of this.patches) if (one !== patch) one.forced = true;
    this.tryComplete(false);
    return undefined;
  }

  switchTask(task: string): Answer {
    if (!this.running) return 'EINVAL';
    if (!this.onCpu.has(task)) this.tasks.set(task, this.running.target);
    this.tryComplete(false);
    return undefined;
  }

  tick(): Answer {
    if (this.running) this.tryComplete(true);
    return undefined;
  }

  setOnCpu(task: string, on: boolean): Answer {
    if (on) this.onCpu.add(task);
    else this.onCpu.delete(task);
    if (this.running && this.auto) this.tryComplete(true);
    return undefined;
  }

  load(): Answer {
    if (this.modLoaded) return 'EEXIST';
    this.modLoaded = true;
    for (const patch of this.patches) {
      for (const func of FUNCTIONS) if (func.startsWith('mod:')) this.push(patch, func);
    }
    return undefined;
  }

  unloadModule(): Answer {
    if (!this.modLoaded) return 'ENOENT';
    this.modLoaded = false;
    for (const func of FUNCTIONS) if (func.startsWith('mod:')) this.stacks.set(func, []);
    return undefined;
  }

  unloadPatch(name: string): Answer {
    if (!this.inserted.has(name)) return 'ENOENT';
    if (this.held.has(name)) return 'EBUSY';
    this.inserted.delete(name);
    return undefined;
  }

  /** The patch whose function a call by this task runs; undefined: the original (L36–L42). */
  runs(func: string, task: string): string | undefined {
    const stack = this.stacks.get(func) ?? [];
    const hidden = stack[0]?.patch === this.running?.patch && this.tasks.get(task) === 'unpatched';
    const chosen = hidden ? stack[1] : stack[0];
    return chosen === undefined || chosen.nop ? undefined : chosen.patch.name;
  }

  private push(patch: ModelPatch, func: string): void {
    if (func.startsWith('mod:') && !this.modLoaded) return;
    const nop = patch.nops.includes(func);
    if (nop || patch.funcs.includes(func)) this.stacks.get(func)?.unshift({ patch, nop });
  }

  private begin(patch: ModelPatch, target: 'patched' | 'unpatched'): void {
    this.running = { patch, target };
    for (const task of this.tasks.keys()) this.tasks.set(task, target === 'patched' ? 'unpatched' : 'patched');
  }

  private tryComplete(trying: boolean): void {
    if (!this.running) return;
    const { patch, target } = this.running;
    if (trying) for (const task of this.tasks.keys()) if (!this.onCpu.has(task)) this.tasks.set(task, target);
    if ([...this.tasks.values()].some((state) => state !== target)) return; // L73
    if (target === 'patched') {
      if (patch.replace) {
        const earlier = this.patches.slice(0, this.patches.indexOf(patch));
        for (const old of earlier) this.drop(old, () => true);
        this.drop(patch, (entry) => entry.nop);
        patch.nops = [];
        for (const old of earlier) this.free(old);
      }
    } else {
      this.drop(patch, () => true);
      this.free(patch);
    }
    for (const task of this.tasks.keys()) this.tasks.set(task, 'idle');
    this.running = undefined;
  }

  private drop(patch: ModelPatch, which: (entry: Entry) => boolean): void {
    for (const [func, stack] of this.stacks) {
      this.stacks.set(
        func,
        stack.filter((entry) => entry.patch !== patch || !which(entry)),
      );
    }
  }

  private free(patch: ModelPatch): void {
    this.patches = this.patches.filter((one) => one !== patch);
    if (!patch.forced) this.held.delete(patch.name);
  }
}
