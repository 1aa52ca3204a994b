// The files under /sys/kernel/livepatch: which there are, their modes, and what reading and writing them does (L82–L84).
import { PatchError } from '../errors.ts';
import { identityOf, objectTitle, type Patch } from './patch.ts';
import type { PatchList } from './patch-list.ts';

/** What writing to an attribute does; the machine's own operations. */
export interface SysfsActions {
  /** The patch in transition, or undefined. */
  transitioning(): Patch | undefined;
  reverse(): void;
  disable(patch: Patch): void;
  /** Undefined where a disabled patch cannot be enabled again (L51). */
  enable: ((patch: Patch) => void) | undefined;
  force(): void;
}

/** One file or directory. */
export interface SysfsNode {
  /** As `ls -l` prints it. */
  readonly mode: string;
  /** Text that reading gives, without the newline; undefined for directories and files that cannot be read. */
  readonly reads?: string;
}

const DIRECTORY = 'drwxr-xr-x';
const RW = '-rw-r--r--';
const RO = '-r--r--r--';
const WO = '--w-------';

/**
 * What stands at `path`, relative to /sys/kernel/livepatch; undefined where nothing does.
 * @param kernel `replace` is there since 6.11
 */
export function sysfsNode(
  path: string,
  patches: PatchList,
  transitioning: Patch | undefined,
  kernel: string,
): SysfsNode | undefined {
  const [name, ...rest] = path.split('/');
  const patch = patches.get(name ?? '') ?? patches.getReplaced(name ?? '');
  if (patch === undefined) return undefined;
  const bit = (value: boolean): string => (value ? '1' : '0');
  const [first, second, ...more] = rest;
  if (first === undefined) return { mode: DIRECTORY };
  const object = patch.objects.find((one) => objectTitle(one.name) === first);
  if (object !== undefined) {
    if (more.length > 0) return undefined;
    if (second === undefined) return { mode: DIRECTORY };
    if (second === 'patched') return { mode: RO, reads: bit(object.patched) };
    const func = object.funcs.find((one) => identityOf(one) === second);
    return func && { mode: DIRECTORY };
  }
  if (second !== undefined) return undefined;
  if (first === 'enabled') return { mode: RW, reads: bit(patch.enabled) };
  if (first === 'transition') return { mode: RO, reads: bit(patch === transitioning) };
  if (first === 'force') return { mode: WO };
  if (first === 'replace' && kernel !== '6.1') return { mode: RO, reads: bit(patch.spec.replace === true) };
  return undefined;
}

/**
 * Writes to an attribute.
 *
 * @throws {PatchError} ENOENT no such file · EACCES it cannot be written · EINVAL, EBUSY (L47, L83, L84)
 */
export function sysfsWrite(path: string, value: string, patches: PatchList, actions: SysfsActions): void {
  const operation = 'sysfs write';
  const [name, file, ...more] = path.split('/');
  const patch = patches.get(name ?? '') ?? patches.getReplaced(name ?? '');
  const fail = (code: 'ENOENT' | 'EACCES' | 'EINVAL', fact: string): PatchError =>
    new PatchError(code, fact, { operation, ...(patch === undefined ? {} : { patch: patch.name }) });
  if (patch === undefined || file === undefined) throw fail('ENOENT', `no file '${path}'`);
  if (more.length > 0 || (file !== 'enabled' && file !== 'force')) throw fail('EACCES', `'${path}' cannot be written`);
  const wanted = parseBool(value);
  if (wanted === undefined) throw fail('EINVAL', `'${value}' is no bool`);
  const moving = actions.transitioning() === patch;
  if (file === 'force') {
    // a 0 is ignored before anything is looked at (L84)
    if (!wanted) return;
    if (!moving) throw fail('EINVAL', `patch '${patch.name}' is not in transition`);
    actions.force();
    return;
  }
  // "same value" is tested first (L83)
  if (patch.enabled === wanted) throw fail('EINVAL', `patch '${patch.name}' has enabled = ${wanted ? 1 : 0} already`);
  if (patches.get(patch.name) === undefined) throw fail('EINVAL', `patch '${patch.name}' was replaced`); // L53
  if (moving) actions.reverse();
  else if (!wanted) actions.disable(patch);
  else if (actions.enable !== undefined) actions.enable(patch);
  else throw fail('EINVAL', `patch '${patch.name}' cannot be enabled again (L51)`);
}

/** kstrtobool: undefined where the text is no bool. */
export function parseBool(text: string): boolean | undefined {
  if (/^(?:[yYtT1]|[oO][nN])/.test(text)) return true;
  if (/^(?:[nNfF0]|[oO][fF])/.test(text)) return false;
  return undefined;
}
