// What must hold of a machine at any time (I1, I2, I3, I6), and everything that an operation that fails must leave as it was.
import { expect } from 'vitest';
import { hexBytes } from '../../src/address.ts';
import { callBytes, NOP5 } from '../../src/ftrace/site.ts';
import { identity, objectTitle } from '../../src/livepatch/patch.ts';
import type { Machine } from '../../src/machine.ts';

/** The sites of vmlinux and of the modules that are loaded. */
export function sitesOf(machine: Machine): bigint[] {
  return machine.images.all.flatMap((image) => image.sites.map((site) => site.address));
}

/** Executable bytes of every image. */
export function textOf(machine: Machine): string[] {
  return machine.images.all.flatMap((image) =>
    image.segments
      .filter((one) => one.access === 'rx')
      .map((one) => `${image.name} ${hexBytes(machine.read(one.address, one.bytes.length))}`),
  );
}

/** The state of a machine that users can see: text, stacks, list, sysfs, modules, tasks. */
export function stateOf(machine: Machine, modules: readonly string[]): object {
  const { livepatch, core, tasks } = machine;
  return {
    text: textOf(machine),
    stacks: sitesOf(machine).map((site) => livepatch.stack(site)),
    users: sitesOf(machine).map((site) => machine.ftrace.record(site)?.users),
    patches: livepatch.patches.map(({ name, enabled, forced }) => ({ name, enabled, forced })),
    transition: livepatch.transition,
    tasks: tasks.all.map(({ name, handle }) => `${name} ${core.patchState(handle)}`),
    sysfs: modules.flatMap((name) => sysfsTree(machine, name)),
    inserted: modules.filter((name) => livepatch.isInserted(name)),
    images: machine.images.all.map(({ name }) => name),
    pending: machine.faults.pending,
  };
}

function sysfsTree({ livepatch }: Machine, patch: string): string[] {
  const objects = livepatch.patches.find((one) => one.name === patch)?.objects ?? [];
  const paths = objects.flatMap((object) => {
    const title = objectTitle(object.name);
    const funcs = object.funcs.map((func) => `${title}/${identity(func.oldName, func.oldSympos)}`);
    return [title, `${title}/patched`, ...funcs];
  });
  return ['', '/enabled', '/transition', '/force', '/replace', ...paths.map((path) => `/${path}`)].map((path) => {
    const node = livepatch.sysfs(patch + path);
    return `${patch}${path} ${node?.mode} ${node?.reads}`;
  });
}

/** The invariants of section 6 that hold between operations. */
export function expectInvariants(machine: Machine, where = ''): void {
  const { livepatch, ftrace } = machine;
  for (const site of sitesOf(machine)) {
    const stack = livepatch.stack(site);
    const bytes = hexBytes(machine.read(site, 5));
    const [user] = ftrace.usersOf(site);
    const calls = user === undefined ? undefined : (user.trampoline ?? ftrace.callers.caller.args);
    // I1, L34
    expect(user !== undefined, `I1 ${where}`).toBe(stack.length > 0);
    expect(bytes, `I1 ${where}`).toBe(hexBytes(calls === undefined ? NOP5 : callBytes(site, calls)));
    // I6
    const listed = livepatch.patches
      .flatMap((patch) => patch.objects.flatMap(({ funcs }) => funcs.map((func) => ({ patch: patch.name, func }))))
      .filter(({ func }) => func.old?.site === site && func.handle !== undefined)
      .reverse();
    expect(
      stack.map(({ patch, nop }) => `${patch} ${nop}`),
      `I6 ${where}`,
    ).toEqual(listed.map(({ patch, func }) => `${patch} ${func.nop}`));
    if (stack.length > 0) expectDispatch(machine, site, where);
  }
}

/** Where calls of a patched site arrive, read off the CPU (I2, I3). */
function expectDispatch(machine: Machine, site: bigint, where: string): void {
  const { livepatch, core, tasks, images } = machine;
  const [top, below] = livepatch.stack(site);
  for (const { name, handle } of tasks.all) {
    const hidden = top?.transition === true && core.patchState(handle) === 'unpatched';
    const chosen = hidden ? below : top;
    const entry = images.locate(site);
    const arrival = machine.probe(entry.address - entry.offset, { task: name });
    const wanted = chosen === undefined || chosen.nop ? entry.name : images.locate(chosen.address).name;
    expect(arrival.name, `I2 ${where}`).toBe(wanted);
    expect(arrival.changed, `I3 ${where}`).toEqual([]);
    expect(arrival.returnsToCaller, `I3 ${where}`).toBe(true);
  }
}
