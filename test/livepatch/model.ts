// Livepatch written down once more, as plainly as the rules read (L26–L80): arrays and loops, nothing shared with src/.

/** What patches may replace: three functions of the kernel, two of a module. */
export const FUNCTIONS = ['vmlinux:checksum', 'vmlinux:fibonacci', 'vmlinux:operate', 'mod:checksum', 'mod:divide'];

export type Policy = 'independent' | 'strict-stack' | 'v10';
type Target = 'patched' | 'unpatched';
type State = 'idle' | 'unpatched' | 'patched';

/** A patch as it is written. */
export interface PatchPlan {
  readonly name: string;
  readonly replace: boolean;
  /** Functions by object; a patch need not have the module. */
  readonly vmlinux: readonly string[];
  readonly mod: readonly string[] | undefined;
  /** The object whose pre_patch returns -ENODEV. */
  readonly refuses: 'vmlinux' | 'mod' | undefined;
  /** Version of the state 1, if the patch has it. */
  readonly version: number | undefined;
}

interface ModelObject {
  title: 'vmlinux' | 'mod';
  funcs: string[];
  nops: string[];
  dynamic: boolean;
  patched: boolean;
  postUnpatchDue: boolean;
}

export interface ModelPatch {
  plan: PatchPlan;
  name: string;
  enabled: boolean;
  forced: boolean;
  objects: ModelObject[];
}

interface Entry {
  patch: ModelPatch;
  nop: boolean;
}

/** What one operation must give: undefined, or an errno. */
export type Answer = string | undefined;

/** Where a task sleeps whose stack cannot be unwound. */
const BLIND = 'no call frame information';

/** Every 15th retry sends signals (L72). */
const SIGNALS_TIMEOUT = 15;

export class Model {
  readonly policy: Policy;
  readonly auto: boolean;
  /** klp_patches, oldest first. */
  patches: ModelPatch[] = [];
  replaced: ModelPatch[] = [];
  /** Newest first. */
  stacks = new Map<string, Entry[]>(FUNCTIONS.map((name) => [name, []]));
  modLoaded = false;
  running: { patch: ModelPatch; target: Target; tries: number } | undefined;
  tasks = new Map<string, State>();
  onCpu = new Set<string>();
  /** Where parked tasks sleep: in an original, by its name, or in the new function of a patch, by the patch's. */
  sleeping = new Map<string, string>();
  /** Patch modules that are inserted; those that are held cannot be removed. */
  inserted = new Set<string>();
  held = new Set<string>();
  log: string[] = [];
  /** How often each rule decided something. */
  readonly hits: Map<string, number>;

  constructor(tasks: readonly string[], auto: boolean, policy: Policy, hits = new Map<string, number>()) {
    this.auto = auto;
    this.policy = policy;
    this.hits = hits;
    for (const task of tasks) this.tasks.set(task, 'idle');
  }

  hit(rule: string): void {
    this.hits.set(rule, (this.hits.get(rule) ?? 0) + 1);
  }

  // ---- what users do

  enable(plan: PatchPlan): Answer {
    return this.policy === 'independent' ? this.insertAndEnable(plan) : this.enableRegistered(plan.name);
  }

  register(plan: PatchPlan): Answer {
    if (this.policy === 'independent') return 'ENOTSUPP';
    if (this.policy === 'strict-stack' && plan.replace) return 'ENOTSUPP';
    const made = this.init(plan);
    if (typeof made === 'string') return made;
    this.hit('L52');
    this.patches.push(made);
    this.hold(plan.name);
    return undefined;
  }

  unregister(name: string): Answer {
    if (this.policy === 'independent') return 'ENOTSUPP';
    const patch = this.find(name) ?? this.replaced.find((one) => one.name === name);
    if (patch === undefined) return 'EINVAL';
    if (patch.enabled || this.running?.patch === patch) return 'EBUSY';
    if (this.replaced.includes(patch)) this.hit('L53');
    this.free(patch);
    return undefined;
  }

  disable(name: string): Answer {
    const patch = this.find(name);
    if (patch === undefined || !patch.enabled) return 'EINVAL'; // L83
    if (this.running?.patch === patch) return this.reverse();
    this.hit('L47');
    if (this.running) return 'EBUSY';
    const after = this.patches[this.patches.indexOf(patch) + 1];
    if (this.policy !== 'independent' && after?.enabled === true) {
      this.hit('L52');
      return 'EBUSY';
    }
    if (after !== undefined) this.hit('L35');
    if (patch.plan.replace) this.hit('L61');
    this.begin(patch, 'unpatched');
    for (const object of patch.objects) if (object.patched) this.callback(patch, object, 'pre_unpatch');
    this.start();
    patch.enabled = false;
    this.attempt();
    return undefined;
  }

  /** Writing the other value to `enabled` of the patch in transition. */
  reverse(): Answer {
    const { running } = this;
    if (!running) return 'EINVAL';
    this.hit('L50');
    const from = doing(running.target);
    running.target = running.target === 'patched' ? 'unpatched' : 'patched';
    if (running.patch.plan.replace && running.target === 'unpatched') this.hit('L62');
    this.klp(`'${running.patch.name}': reversing transition from ${from} to ${doing(running.target)}`);
    running.patch.enabled = running.target === 'patched';
    this.start();
    this.attempt();
    return undefined;
  }

  /** Writing 1 to `enabled`. */
  writeEnabled(name: string): Answer {
    const patch = this.find(name) ?? this.replaced.find((one) => one.name === name);
    if (patch === undefined) return 'ENOENT';
    if (patch.enabled) return 'EINVAL'; // L83: the same value
    if (this.replaced.includes(patch)) {
      this.hit('L53');
      return 'EINVAL';
    }
    if (this.running?.patch === patch) return this.reverse();
    // of 5.1 and later a patch that is listed and disabled is in transition, so nothing is left to enable (L51)
    return this.enableRegistered(name);
  }

  force(): Answer {
    const { running } = this;
    if (!running) return 'EINVAL'; // L84
    this.hit('L74');
    this.klp('forcing remaining tasks to the patched state');
    for (const task of this.tasks.keys()) this.tasks.set(task, running.target);
    if (this.policy !== 'independent') for (const patch of this.patches) patch.forced = true;
    else if (running.target === 'unpatched') running.patch.forced = true;
    else if (running.patch.plan.replace) for (const one of this.patches) if (one !== running.patch) one.forced = true;
    this.completeIfDone();
    return undefined;
  }

  switchTask(task: string): Answer {
    if (!this.running) return 'EINVAL';
    this.trySwitch(task);
    this.completeIfDone();
    return undefined;
  }

  tick(count: number): Answer {
    for (let i = 0; i < count && this.running; i++) this.tryAll();
    return undefined;
  }

  setOnCpu(task: string, on: boolean): Answer {
    if (on) this.onCpu.add(task);
    else this.onCpu.delete(task);
    if (this.auto) this.tryAll();
    return undefined;
  }

  /** A call that stops where it arrives; of a module's own code none, since the module may go. */
  park(func: string, task: string): Answer {
    if (this.sleeping.has(task)) return 'EBUSY';
    this.sleeping.set(task, this.runs(func, task) ?? func);
    return undefined;
  }

  /** A call of code without call frame information, which no func replaces. */
  parkBlind(task: string): Answer {
    if (this.sleeping.has(task)) return 'EBUSY';
    this.sleeping.set(task, BLIND);
    return undefined;
  }

  resume(task: string): Answer {
    if (!this.sleeping.delete(task)) return 'EINVAL';
    if (this.auto) this.tryAll();
    return undefined;
  }

  /** A module of the kernel's own name comes (L63). */
  loadVmlinux(): Answer {
    this.hit('L63');
    this.klp('vmlinux.ko: invalid module name');
    return 'EINVAL';
  }

  load(): Answer {
    if (this.modLoaded) return 'EEXIST';
    this.modLoaded = true;
    for (const patch of this.patches) {
      const object = patch.objects.find(({ title }) => title === 'mod');
      if (object === undefined) continue;
      const moving = this.running?.patch === patch;
      if (!patch.enabled && !moving) continue; // registered only
      this.hit('L64');
      this.klp(`applying patch '${patch.name}' to loading module 'mod'`);
      if (!this.prePatch(patch, object)) {
        this.hit('L65');
        this.klp(`patch '${patch.name}' failed for module 'mod', refusing to load module 'mod'`);
        this.revertModule(patch);
        this.modLoaded = false;
        return 'ENODEV';
      }
      this.push(patch, object);
      if (moving) this.hit('L68');
      else this.callback(patch, object, 'post_patch');
    }
    return undefined;
  }

  unloadModule(): Answer {
    if (!this.modLoaded) return 'ENOENT';
    this.hit('L67'); // patches hold no reference on it
    this.revertModule();
    this.modLoaded = false;
    return undefined;
  }

  unloadPatch(name: string): Answer {
    if (!this.inserted.has(name)) return 'ENOENT';
    if (this.held.has(name)) return 'EBUSY';
    this.inserted.delete(name);
    return undefined;
  }

  // ---- where calls go

  /** The patch whose function a call by this task runs; undefined: the original (L37–L42). */
  runs(func: string, task: string): string | undefined {
    const stack = this.stacks.get(func) ?? [];
    const state = this.tasks.get(task);
    const [top, below] = stack;
    if (top === undefined) {
      this.hit('L37');
      return undefined;
    }
    const moving = top.patch === this.running?.patch;
    this.hit(!moving ? 'L38' : state === 'patched' ? 'L39' : state === 'unpatched' ? 'L40' : 'L41');
    if (moving && top.patch.plan.replace) this.hit('L57');
    if (stack.length > 1) this.hit('L44');
    const chosen = moving && state === 'unpatched' ? below : top;
    this.hit('L42');
    if (chosen?.nop === true) this.hit('L56');
    return chosen === undefined || chosen.nop ? undefined : chosen.patch.name;
  }

  // ---- how patches live

  private insertAndEnable(plan: PatchPlan): Answer {
    const patch = this.init(plan);
    if (typeof patch === 'string') return patch;
    if (this.running) return 'EBUSY'; // L19
    if (this.inserted.has(plan.name)) this.hit('L51');
    this.compareToListed(patch);
    this.patches.push(patch);
    if (!this.start45(patch)) {
      this.patches.pop();
      return 'ENODEV';
    }
    this.hold(plan.name);
    this.attempt();
    return undefined;
  }

  private enableRegistered(name: string): Answer {
    const patch = this.find(name);
    if (patch === undefined) return 'EINVAL';
    if (this.running) return 'EBUSY';
    if (patch.enabled) return 'EINVAL';
    const before = this.patches[this.patches.indexOf(patch) - 1];
    if (before?.enabled === false && !patch.plan.replace) {
      this.hit('L52');
      return 'EBUSY';
    }
    if (before?.enabled === false) this.hit('L53'); // one that replaces need not wait
    if (!this.start45(patch)) return 'ENODEV';
    this.attempt();
    return undefined;
  }

  /** Checks and makes; nothing of it is logged but what states forbid (L13–L18). */
  private init(plan: PatchPlan): ModelPatch | string {
    const known = [...this.patches, ...this.replaced].some((one) => one.name === plan.name);
    if (known || this.held.has(plan.name)) return 'EEXIST';
    for (const { plan: old } of this.patches) {
      if (old.version === undefined) continue;
      const fits = plan.version === undefined ? !plan.replace : plan.version >= old.version; // L79
      if (!fits) {
        this.klp(`Livepatch patch (${plan.name}) is not compatible with the already installed livepatches.`);
        return 'EINVAL';
      }
    }
    const object = (title: 'vmlinux' | 'mod', funcs: readonly string[], dynamic = false): ModelObject => ({
      ...{ title, funcs: [...funcs], nops: [], dynamic, patched: false, postUnpatchDue: false },
    });
    const objects = [object('vmlinux', plan.vmlinux)];
    if (plan.mod !== undefined) objects.push(object('mod', plan.mod));
    if (plan.replace) {
      for (const old of this.patches.flatMap((one) => one.objects)) {
        if (!objects.some(({ title }) => title === old.title)) objects.push(object(old.title, [], true));
        const mine = objects.find(({ title }) => title === old.title) ?? object(old.title, []);
        for (const func of [...old.funcs, ...old.nops]) {
          if (mine.funcs.includes(func) || mine.nops.includes(func)) continue;
          this.hit('L55');
          mine.nops.push(func);
        }
      }
    }
    return { plan, name: plan.name, enabled: false, forced: false, objects };
  }

  /** An older patch that comes after its superset (L54). */
  private compareToListed(patch: ModelPatch): void {
    const funcsOf = ({ plan }: ModelPatch): string[] => [...plan.vmlinux, ...(plan.mod ?? [])];
    const mine = funcsOf(patch);
    const isSuperset = (one: ModelPatch): boolean => mine.every((func) => funcsOf(one).includes(func));
    if (mine.length > 0 && this.patches.some(isSuperset)) this.hit('L54');
  }

  /** From "enabling" to the start of the transition; false where pre_patch refused, and all is undone (L45, L46). */
  private start45(patch: ModelPatch): boolean {
    this.hit('L45');
    this.klp(`enabling patch '${patch.name}'`);
    this.begin(patch, 'patched');
    for (const object of patch.objects) {
      if (object.title === 'mod' && !this.modLoaded) continue;
      if (this.prePatch(patch, object)) this.push(patch, object);
      else {
        this.hit('L46');
        this.klp(`failed to enable patch '${patch.name}'`);
        this.klp(`'${patch.name}': canceling patching transition, going to unpatch`);
        if (this.running) this.running.target = 'unpatched';
        this.complete();
        return false;
      }
    }
    this.start();
    patch.enabled = true;
    return true;
  }

  private prePatch(patch: ModelPatch, object: ModelObject): boolean {
    object.postUnpatchDue = false;
    if (!object.dynamic) {
      this.callback(patch, object, 'pre_patch');
      if (patch.plan.refuses === object.title) {
        this.klp(`pre-patch callback failed for object '${object.title}'`);
        return false;
      }
    }
    object.postUnpatchDue = true;
    return true;
  }

  private callback(patch: ModelPatch, object: ModelObject, what: string): void {
    if (!object.dynamic) this.log.push(`${patch.name}: ${what} ${object.title}`);
  }

  private postUnpatch(patch: ModelPatch, object: ModelObject): void {
    if (object.postUnpatchDue) this.callback(patch, object, 'post_unpatch');
    object.postUnpatchDue = false;
  }

  /** Every func goes to the head of its stack (L29, L30). */
  private push(patch: ModelPatch, object: ModelObject): void {
    object.patched = true;
    for (const func of [...object.funcs, ...object.nops]) {
      this.stacks.get(func)?.unshift({ patch, nop: object.nops.includes(func) });
    }
  }

  /** Takes entries out, wherever they stand (L32). */
  private pull(object: ModelObject, patch: ModelPatch, nopsOnly = false): void {
    for (const func of nopsOnly ? object.nops : [...object.funcs, ...object.nops]) {
      const stack = this.stacks.get(func) ?? [];
      this.stacks.set(
        func,
        stack.filter((entry) => entry.patch !== patch),
      );
    }
    if (!nopsOnly || object.dynamic) object.patched = false;
  }

  /** Takes the patches off the module, oldest first, up to one that failed (L66). */
  private revertModule(limit?: ModelPatch): void {
    for (const patch of this.patches) {
      if (patch === limit) break;
      const object = patch.objects.find(({ title }) => title === 'mod');
      const moving = this.running?.patch === patch;
      if (object === undefined || (!patch.enabled && !moving)) continue;
      this.hit('L66');
      if (!moving) this.callback(patch, object, 'pre_unpatch');
      this.klp(`reverting patch '${patch.name}' on unloading module 'mod'`);
      this.pull(object, patch);
      this.postUnpatch(patch, object);
    }
  }

  // ---- the transition

  private begin(patch: ModelPatch, target: Target): void {
    this.running = { patch, target, tries: 0 };
    this.klp(`'${patch.name}': initializing ${doing(target)} transition`);
    for (const task of this.tasks.keys()) this.tasks.set(task, target === 'patched' ? 'unpatched' : 'patched');
  }

  private start(): void {
    if (!this.running) return;
    this.running.tries = 0;
    this.klp(`'${this.running.patch.name}': starting ${doing(this.running.target)} transition`);
  }

  /** The try right after a start. */
  private attempt(): void {
    if (this.auto) this.tryAll();
    else this.completeIfDone();
  }

  /** What keeps a task from the target (L69). */
  blocked(task: string): 'EBUSY' | 'EINVAL' | 'EADDRINUSE' | undefined {
    if (!this.running || this.tasks.get(task) === this.running.target) return undefined;
    if (this.onCpu.has(task)) return 'EBUSY';
    const code = this.sleeping.get(task);
    if (code === undefined) return undefined;
    if (code === BLIND) return 'EINVAL';
    this.hit('L70');
    return this.isChecked(code) ? 'EADDRINUSE' : undefined;
  }

  /**
   * Whether code must be on no stack (L70): going back, the new functions of the patch; going forward, what each of its
   * funcs replaces.
   */
  private isChecked(code: string): boolean {
    if (!this.running) return false;
    const { patch, target } = this.running;
    for (const object of patch.objects.filter(({ patched }) => patched)) {
      for (const func of [...object.funcs, ...object.nops]) {
        const stack = this.stacks.get(func) ?? [];
        const at = stack.findIndex((entry) => entry.patch === patch);
        const left = target === 'unpatched' ? stack[at] : stack[at + 1];
        if (code === (left === undefined || left.nop ? func : left.patch.name)) return true;
      }
    }
    return false;
  }

  private trySwitch(task: string): void {
    if (!this.running) return;
    const why = this.blocked(task);
    if (why !== undefined) this.hit('L69');
    else this.tasks.set(task, this.running.target);
  }

  private tryAll(): void {
    const { running } = this;
    if (!running) return;
    for (const task of this.tasks.keys()) this.trySwitch(task);
    if (!this.done()) {
      if (running.tries === SIGNALS_TIMEOUT) this.klp('signaling remaining tasks');
      running.tries++;
    }
    this.completeIfDone();
  }

  private done(): boolean {
    return [...this.tasks.values()].every((state) => state === this.running?.target); // L73
  }

  private completeIfDone(): void {
    const { running } = this;
    if (!running || !this.done()) return;
    const { patch, target } = running;
    const earlier = this.patches.slice(0, this.patches.indexOf(patch));
    this.complete();
    if (target === 'patched' && patch.plan.replace) {
      for (const old of earlier) {
        this.hit('L60');
        if (this.policy === 'independent') this.free(old);
        else {
          this.hit('L53');
          this.patches = this.patches.filter((one) => one !== old);
          this.replaced.push(old);
        }
      }
    }
    if (target === 'unpatched' && this.policy === 'independent') {
      this.hit('L49');
      this.free(patch);
    }
  }

  private complete(): void {
    if (!this.running) return;
    this.hit('L48');
    const { patch, target } = this.running;
    this.klp(`'${patch.name}': completing ${doing(target)} transition`);
    if (target === 'unpatched') for (const object of patch.objects) this.pull(object, patch);
    else if (patch.plan.replace) this.replaceEarlier(patch);
    for (const task of this.tasks.keys()) this.tasks.set(task, 'idle');
    for (const object of patch.objects) {
      if (object.title === 'mod' && !this.modLoaded) continue;
      if (target === 'patched') this.callback(patch, object, 'post_patch');
      else this.postUnpatch(patch, object);
    }
    this.klp(`'${patch.name}': ${doing(target)} complete`);
    this.running = undefined;
  }

  /** Earlier patches go, silently (L59), and so do the nops (L58). */
  private replaceEarlier(patch: ModelPatch): void {
    for (const old of this.patches.slice(0, this.patches.indexOf(patch))) {
      this.hit('L59');
      old.enabled = false;
      for (const object of old.objects) this.pull(object, old);
    }
    for (const object of patch.objects) {
      if (object.nops.length > 0) this.hit('L58');
      this.pull(object, patch, true);
      object.nops = [];
    }
    patch.objects = patch.objects.filter(({ dynamic }) => !dynamic);
  }

  private find(name: string): ModelPatch | undefined {
    return this.patches.find((one) => one.name === name);
  }

  private hold(name: string): void {
    this.inserted.add(name);
    this.held.add(name);
  }

  private free(patch: ModelPatch): void {
    this.patches = this.patches.filter((one) => one !== patch);
    this.replaced = this.replaced.filter((one) => one !== patch);
    if (!patch.forced) this.held.delete(patch.name);
  }

  private klp(line: string): void {
    this.log.push(`livepatch: ${line}`);
  }
}

function doing(target: Target): string {
  return target === 'patched' ? 'patching' : 'unpatching';
}
