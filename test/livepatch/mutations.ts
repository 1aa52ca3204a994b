// Defects to seed, one at a time, each a small change of the text of a source: all of them must be found by the fast tests.

/** A defect. */
export interface Mutation {
  /** What is wrong then, and the rule it breaks. */
  readonly defect: string;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

const core = (file: string, defect: string, from: string, to: string): Mutation => ({
  ...{ defect, from, to, file: `assembly/${file}.ts` },
});
const livepatch = (file: string, defect: string, from: string, to: string): Mutation => ({
  ...{ defect, from, to, file: `src/livepatch/${file}.ts` },
});

/** The defects. A change of the sources that a `from` no longer fits is an error of this table. */
export const MUTATIONS: readonly Mutation[] = [
  core('dispatch', 'the second entry is skipped (L40)', 'const below = top.below;', 'const below: Func | null = null;'),
  core(
    'dispatch',
    'the transition flag of the second entry is looked at (L40)',
    'if (below == null) {',
    'if (below == null || below.flags & FUNC_TRANSITION || below.below != null) {',
  ),
  core(
    'dispatch',
    'a nop runs its own new_func (L42)',
    'if (!(func.flags & FUNC_NOP)) return func;',
    'if (func != null) return func;',
  ),
  core(
    'dispatch',
    'an idle task is taken for an unpatched one (L41)',
    'if (task.patchState == UNPATCHED) {',
    'if (task.patchState != PATCHED) {',
  ),
  core(
    'dispatch',
    'a patched task counts as an idle one, which the kernel warns of (L39, L41)',
    'if (task.patchState == PATCHED) {',
    'if (task.patchState == 7) {',
  ),
  core(
    'func-stacks',
    'push at the tail: the older one stays on top (L30)',
    '  setTop(site, func);\n  return <i32>changetype<usize>(func);',
    '  setTop(site, older != null ? older : func);\n  return <i32>changetype<usize>(func);',
  ),
  core(
    'func-stacks',
    'removing the top empties the stack (L32)',
    'if (below != null) setTop(site, below);',
    'if (below != null && below.below == null) setTop(site, below);',
  ),
  core(
    'func-stacks',
    'a func that is taken out of the middle stays linked (L32)',
    '    above.below = below;\n',
    '    above.below = below != null ? func : below;\n',
  ),
  core(
    'recursion',
    'the third entry in a context is let in (L36)',
    'task.admits = (task.held & busy) == busy ? 0 : 1;',
    'task.admits = busy == 0 ? 0 : 1;',
  ),
  core(
    'transition',
    'forcing leaves the count of tasks as it was (L73)',
    'count(state, <i32>taskUse);',
    'count(state, <i32>taskUse - 1);',
  ),
  livepatch(
    'transition',
    'nops are kept when a replacement is complete (L58)',
    'for (const object of patch.objects) attacher.unpatchObject(object, true);',
    '',
  ),
  livepatch('transition', 'a replaced patch stays enabled (L58)', '        old.enabled = false;\n', ''),
  livepatch(
    'transition',
    'the wrong patch is forced (L74)',
    "else if (this.#target === 'unpatched') this.patch.forced = true;",
    "else if (this.#target === 'patched') this.patch.forced = true;",
  ),
  livepatch(
    'transition',
    'a task on another CPU is switched (L69)',
    "if (task.onCpu || isRunning(task)) return { task: name, answer: 'EBUSY' };",
    '',
  ),
  livepatch('transition', 'one task that has arrived is enough (L73)', '=== this.#parts.tasks.size;', '> 0;'),
  livepatch(
    'transition',
    'a cancelled transition completes as patched (L46)',
    "    this.#target = 'unpatched';\n    this.complete();",
    '    this.complete();',
  ),
  livepatch(
    'transition',
    'post_patch runs for objects that are not loaded (L48)',
    '      if (!object.loaded) continue;\n      if (target',
    '      if (target',
  ),
  livepatch(
    'transition',
    'reversing leaves `enabled` as it was (L50)',
    "    this.patch.enabled = to === 'patched';\n",
    '',
  ),
  livepatch(
    'lifecycle',
    'a callback runs on reverse (L50, L78)',
    '    running.reverse();\n',
    '    running.reverse();\n    for (const object of running.patch.objects) this.callbacks.preUnpatch(running.patch, object);\n',
  ),
  livepatch(
    'lifecycle',
    'disabling does not wait for another patch (L47)',
    "    this.refuseInTransition('disable', patch.name);\n",
    '',
  ),
  livepatch('lifecycle', 'a patch that failed stays on the list (L20)', '      this.patches.withdraw(patch);\n', ''),
  livepatch(
    'lifecycle',
    'replaced patches are not freed (L49, L60)',
    'else this.patches.free(old);',
    'else old.enabled = false;',
  ),
  livepatch(
    'patch-list',
    'a forced patch gives its module back (L74)',
    'module.held = patch.forced;',
    'module.held = false;',
  ),
  livepatch(
    'states',
    'the versions of states are compared the wrong way round (L79)',
    'state.version >= version',
    'state.version <= version',
  ),
  livepatch(
    'states',
    'a replacing patch may lack a state (L79)',
    'spec.replace !== true',
    'spec.replace !== undefined',
  ),
  livepatch(
    'callbacks',
    'post_unpatch_enabled is not cleared (L76)',
    '    object.postUnpatchEnabled = false;\n    if (due)',
    '    if (due)',
  ),
  livepatch(
    'callbacks',
    'post_unpatch runs though pre_patch failed (L76, L77)',
    '    if (due) this.#runVoid',
    '    this.#runVoid',
  ),
  livepatch(
    'modules',
    'post_patch runs in mid-transition (L64)',
    'if (patch !== parts.transitioning()) callbacks.postPatch(patch, object);',
    'callbacks.postPatch(patch, object);',
  ),
  livepatch(
    'modules',
    'pre_unpatch runs in mid-transition (L66)',
    'if (patch !== parts.transitioning()) callbacks.preUnpatch(patch, object);',
    'callbacks.preUnpatch(patch, object);',
  ),
  livepatch(
    'modules',
    'a refused module stays patched by the others (L65)',
    '      revert(module, parts, patch);\n',
    '',
  ),
  livepatch(
    'transition',
    'a stack that cannot be unwound keeps no task (L69)',
    "answer: 'EINVAL', why: trace.unreliable",
    "answer: 'ok', why: trace.unreliable",
  ),
  livepatch(
    'nops',
    'nops are made for the oldest patch only (L55)',
    'of listed.flatMap(',
    'of listed.slice(0, 1).flatMap(',
  ),
  livepatch(
    'attach',
    'the site stays patched when its stack is empty (L32)',
    'if (user?.depth === 1) {',
    'if (user?.depth === 0) {',
  ),
  livepatch(
    'policy',
    'any patch may be disabled by the strict stack (L52)',
    'if (after?.enabled !== true) return;',
    'if (after !== undefined) return;',
  ),
  livepatch('policy', 'a replacing patch must wait its turn (L53)', '  if (patch.spec.replace === true) return;\n', ''),
  livepatch(
    'sysfs',
    'the same value may be written (L83)',
    'if (patch.enabled === wanted)',
    'if (patch.enabled !== wanted)',
  ),
  livepatch('symbols', 'positions count from 0 (L23)', 'matches[Number(sympos || 1n) - 1]', 'matches[Number(sympos)]'),
];
