// What the machine reports, as typed events; the text of each is the kernel's own log line. The texts exist only here.

/** Levels of printk; `debug` lines are on, as the kernel's selftests switch them on. */
export type LogLevel = 'debug' | 'notice' | 'warning' | 'error';

/** The events and what each one carries. `error` fields are negative errno numbers, as the kernel prints them. */
export interface EventFields {
  enabling: { patch: string };
  initializing: { patch: string; target: 'patched' | 'unpatched' };
  starting: { patch: string; target: 'patched' | 'unpatched' };
  completing: { patch: string; target: 'patched' | 'unpatched' };
  complete: { patch: string; target: 'patched' | 'unpatched' };
  canceling: { patch: string };
  reversing: { patch: string; to: 'patched' | 'unpatched' };
  signaling: object;
  forcing: object;
  running: { task: string; pid: number };
  unreliable: { task: string; pid: number };
  sleeping: { task: string; pid: number; func: string };
  enableFailed: { patch: string };
  prePatchFailed: { object: string };
  patchObjectFailed: { object: string };
  applying: { patch: string; module: string };
  moduleInitFailed: { patch: string; module: string; error: number };
  moduleApplyFailed: { patch: string; module: string; error: number };
  moduleRefused: { patch: string; module: string };
  reverting: { patch: string; module: string };
  invalidModuleName: object;
  notLivepatch: { module: string };
  incompatible: { patch: string };
  symbolNotFound: { symbol: string };
  symbolAmbiguous: { symbol: string; object: string };
  symbolPosition: { symbol: string; object: string; sympos: bigint };
  sizeUnknown: { func: string };
  newSizeUnknown: { func: string };
  noLocation: { func: string };
  filterFailed: { func: string; error: number };
  registerFailed: { func: string; error: number };
  klpSectionName: { section: string };
  klpSymbolMark: { symbol: string };
  klpSymbolName: { symbol: string };
  klpVmlinuxSymbol: { symbol: string };
  noPreviousState: { id: bigint };
  shadowDuplicate: { object: bigint; id: bigint };
  shadowFailed: { object: bigint; id: bigint; error: number };
}

/** A kind of event. */
export type EventKind = keyof EventFields;

/** One event. */
export type LivepatchEvent = { [K in EventKind]: { readonly kind: K } & Readonly<EventFields[K]> }[EventKind];

/** Every line of kernel/livepatch that the machine prints, by the rule that says when. */
const LINES: { readonly [K in EventKind]: readonly [LogLevel, (event: EventFields[K]) => string] } = {
  enabling: ['notice', ({ patch }) => `enabling patch '${patch}'`], // L45
  initializing: ['debug', ({ patch, target }) => `'${patch}': initializing ${doing(target)} transition`], // L45, L47
  starting: ['notice', ({ patch, target }) => `'${patch}': starting ${doing(target)} transition`], // L45, L47
  completing: ['debug', ({ patch, target }) => `'${patch}': completing ${doing(target)} transition`], // L48
  complete: ['notice', ({ patch, target }) => `'${patch}': ${doing(target)} complete`], // L48
  canceling: ['debug', ({ patch }) => `'${patch}': canceling patching transition, going to unpatch`], // L46
  reversing: [
    'debug', // L50
    ({ patch, to }) => `'${patch}': reversing transition from ${doing(other(to))} to ${doing(to)}`,
  ],
  signaling: ['notice', () => 'signaling remaining tasks'], // L72
  forcing: ['warning', () => 'forcing remaining tasks to the patched state'], // L74
  running: ['debug', ({ task, pid }) => `klp_try_switch_task: ${task}:${pid} is running`], // L69
  unreliable: ['debug', ({ task, pid }) => `klp_try_switch_task: ${task}:${pid} has an unreliable stack`], // L69
  sleeping: [
    'debug', // L69
    ({ task, pid, func }) => `klp_try_switch_task: ${task}:${pid} is sleeping on function ${func}`,
  ],
  enableFailed: ['warning', ({ patch }) => `failed to enable patch '${patch}'`], // L46
  prePatchFailed: ['warning', ({ object }) => `pre-patch callback failed for object '${object}'`], // L46, L77
  patchObjectFailed: ['warning', ({ object }) => `failed to patch object '${object}'`], // L33
  applying: ['notice', ({ patch, module }) => `applying patch '${patch}' to loading module '${module}'`], // L64
  moduleInitFailed: [
    'warning', // L65
    ({ patch, module, error }) => `failed to initialize patch '${patch}' for module '${module}' (${error})`,
  ],
  moduleApplyFailed: [
    'warning', // L65
    ({ patch, module, error }) => `failed to apply patch '${patch}' to module '${module}' (${error})`,
  ],
  moduleRefused: [
    'warning', // L65
    ({ patch, module }) => `patch '${patch}' failed for module '${module}', refusing to load module '${module}'`,
  ],
  reverting: ['notice', ({ patch, module }) => `reverting patch '${patch}' on unloading module '${module}'`], // L66
  invalidModuleName: ['error', () => 'vmlinux.ko: invalid module name'], // L63
  notLivepatch: ['error', ({ module }) => `module ${module} is not marked as a livepatch module`], // L11
  incompatible: [
    'error', // L13
    ({ patch }) => `Livepatch patch (${patch}) is not compatible with the already installed livepatches.`,
  ],
  symbolNotFound: ['error', ({ symbol }) => `symbol '${symbol}' not found in symbol table`], // L22
  symbolAmbiguous: [
    'error', // L22
    ({ symbol, object }) => `unresolvable ambiguity for symbol '${symbol}' in object '${object}'`,
  ],
  symbolPosition: [
    'error', // L23
    ({ symbol, object, sympos }) => `symbol position ${sympos} for symbol '${symbol}' in object '${object}' not found`,
  ],
  sizeUnknown: ['error', ({ func }) => `kallsyms size lookup failed for '${func}'`], // L18
  newSizeUnknown: ['error', ({ func }) => `kallsyms size lookup failed for '${func}' replacement`], // L18
  noLocation: ['error', ({ func }) => `failed to find location for function '${func}'`], // L29
  filterFailed: [
    'error', // L31
    ({ func, error }) => `failed to set ftrace filter for function '${func}' (${error})`,
  ],
  registerFailed: [
    'error', // L31
    ({ func, error }) => `failed to register ftrace handler for function '${func}' (${error})`,
  ],
  klpSectionName: ['error', ({ section }) => `section ${section} has an incorrectly formatted name`], // L25
  klpSymbolMark: ['error', ({ symbol }) => `symbol ${symbol} is not marked as a livepatch symbol`], // L25
  klpSymbolName: ['error', ({ symbol }) => `symbol ${symbol} has an incorrectly formatted name`], // L25
  klpVmlinuxSymbol: [
    'error', // L25
    ({ symbol }) => `invalid access to vmlinux symbol '${symbol}' from module-specific livepatch relocation section`,
  ],
  noPreviousState: ['warning', ({ id }) => `klp_get_prev_state(${id}) outside a transition`], // L80: a WARN
  shadowDuplicate: [
    'warning',
    ({ object, id }) => `Duplicate shadow variable <${pointer(object)}, ${id.toString(16)}>`,
  ], // L81
  shadowFailed: [
    'error', // L81
    ({ object, id, error }) =>
      `Failed to construct shadow variable <${pointer(object)}, ${id.toString(16)}> (${error})`,
  ],
};

/** Every kind of event. */
export const EVENT_KINDS = Object.keys(LINES) as readonly EventKind[];

/** Texts of WARN, which have no prefix; one of WARN_ON has no text but a dump of registers, and makes no line here. */
const WARN_KINDS: ReadonlySet<EventKind> = new Set(['shadowDuplicate']);
const WARN_ON_KINDS: ReadonlySet<EventKind> = new Set(['noPreviousState']);

/** What pr_fmt of kernel/livepatch puts before each line. */
const PREFIX = 'livepatch: ';

/** Lines of klp_try_switch_task: the selftests leave these off, and so does a log unless it is asked for them. */
const SWITCH_KINDS: ReadonlySet<EventKind> = new Set(['running', 'unreliable', 'sleeping']);

/** The text of an event without the log's prefix. */
export function eventText(event: LivepatchEvent): string {
  // the table has, for each kind, a function of that kind's fields
  const text = LINES[event.kind][1] as (event: LivepatchEvent) => string;
  return text(event);
}

/** The line that an event makes in the log; undefined for one that makes none: the hook alone is told of it. */
export function eventLine(event: LivepatchEvent): string | undefined {
  if (WARN_ON_KINDS.has(event.kind)) return undefined;
  return WARN_KINDS.has(event.kind) ? eventText(event) : PREFIX + eventText(event);
}

/** The level an event is logged at. */
export function eventLevel(event: LivepatchEvent): LogLevel {
  return LINES[event.kind][0];
}

/** True for the events of single attempts to switch a task (L69). */
export function isSwitchAttempt(event: LivepatchEvent): boolean {
  return SWITCH_KINDS.has(event.kind);
}

/** The other end of a transition. */
export function other(target: 'patched' | 'unpatched'): 'patched' | 'unpatched' {
  return target === 'patched' ? 'unpatched' : 'patched';
}

function doing(target: 'patched' | 'unpatched'): string {
  return target === 'patched' ? 'patching' : 'unpatching';
}

/** `%p` of printk, as with `no_hash_pointers`. */
function pointer(address: bigint): string {
  return address.toString(16).padStart(16, '0');
}
