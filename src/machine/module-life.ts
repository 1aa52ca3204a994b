// The life of an image: loading it, the patches that are waiting for it, its init and exit, and taking it away.
import { errnoName, ImageError, PatchError } from '../errors.ts';
import type { Ftrace } from '../ftrace/ftrace.ts';
import type { RangeSet } from '../ftrace/ranges.ts';
import { SITE_SIZE } from '../ftrace/site.ts';
import type { LoadedImage } from '../image/image.ts';
import type { Livepatch } from '../livepatch/livepatch.ts';
import type { SysfsNode } from '../livepatch/sysfs.ts';
import type { ImageKind, Images, LoadOptions, ModuleRoutine } from './images.ts';
import type { ModuleParameters } from './parameters.ts';

/** What is told of an image that comes or goes. */
export interface ModuleLifeParts {
  readonly images: Images;
  readonly ftrace: Ftrace;
  readonly livepatch: Livepatch;
  /** A module's sites are known (F7). */
  tracersFollow(module: string): void;
  /** Sites and trampolines: code that no call arrives at. */
  readonly glue: RangeSet;
  readonly parameters: ModuleParameters;
  /** Applies the klp relocations of an image to vmlinux (L25). */
  relocate(image: LoadedImage): void;
  /** Writes a line into the kernel log. */
  say(line: string): void;
  /** Calls a guest function that takes nothing, as a task that is awake; its rax. */
  runGuest(target: string): bigint;
}

const MODULES: ReadonlySet<ImageKind | undefined> = new Set(['module', 'livepatch']);
const DIRECTORY: SysfsNode = { mode: 'drwxr-xr-x' };

/** See Machine.load and Machine.unload. */
export class ModuleLife {
  readonly #parts: ModuleLifeParts;

  constructor(parts: ModuleLifeParts) {
    this.#parts = parts;
  }

  /** See Machine.load. */
  load(bytes: Uint8Array, options: LoadOptions): LoadedImage {
    const { name } = options;
    const { images, ftrace, glue, tracersFollow } = this.#parts;
    const image = images.load(bytes, options);
    glue.add(entryRanges(image));
    try {
      ftrace.addSites(addresses(image.sites), addresses(image.strays));
      tracersFollow(name);
      // a kernel has no such tables (L25); a livepatch that is only looked at is loaded in its place, and may keep them
      if (images.kindOf(image) !== 'vmlinux') this.#parts.relocate(image);
      if (images.kindOf(image) === 'module') this.#insert(image, options);
    } catch (error) {
      this.#remove(image);
      throw error;
    }
    images.setModuleState(name, 'LIVE');
    return image;
  }

  /** From COMING to the end of init, in the kernel's order (load_module, do_init_module). */
  #insert(image: LoadedImage, { init, params = {} }: LoadOptions): void {
    const { images, livepatch, parameters } = this.#parts;
    const { name } = image;
    livepatch.moduleComing(name);
    try {
      parameters.set(image, params);
      this.#init(name, init ?? (image.init === undefined ? undefined : 'init_module'));
    } catch (error) {
      images.setModuleState(name, 'GOING');
      livepatch.moduleGoing(name);
      livepatch.abandon(name);
      throw error;
    }
  }

  /** See Machine.unload. */
  unload(name: string): void {
    const { images, livepatch } = this.#parts;
    const image = images.get(name);
    if (image === undefined) {
      throw new ImageError('ENOENT', `no module '${name}' is loaded`, { operation: 'unload', image: name });
    }
    if (images.kindOf(image) !== 'module') {
      throw new ImageError('EINVAL', `'${name}' is no module`, { operation: 'unload', image: name });
    }
    livepatch.refuseRemoval(name);
    this.#run(name, images.exitOf(name) ?? (image.exit === undefined ? undefined : 'cleanup_module'));
    images.setModuleState(name, 'GOING');
    livepatch.moduleGoing(name);
    if (livepatch.isInserted(name)) livepatch.unload(name);
    this.#remove(image);
  }

  /** A file under /sys/module, by its path from there; undefined where nothing stands. See Machine.sysfs. */
  file(path: string): SysfsNode | undefined {
    const { images, parameters } = this.#parts;
    const [module = '', folder, name, ...more] = path.split('/');
    const image = images.get(module);
    if (image === undefined || !MODULES.has(images.kindOf(image)) || more.length > 0) return undefined;
    if (folder === undefined) return DIRECTORY;
    if (folder !== 'parameters') return undefined;
    if (name === undefined) return parameters.hasFiles(image) ? DIRECTORY : undefined;
    return parameters.file(image, name);
  }

  /** See Machine.writeSysfs. */
  writeFile(path: string, text: string): void {
    const { images, parameters } = this.#parts;
    const [module = '', folder, name = '', ...more] = path.split('/');
    const image = images.get(module);
    const isFile = folder === 'parameters' && more.length === 0;
    if (image === undefined || !MODULES.has(images.kindOf(image)) || !isFile) {
      throw new PatchError('ENOENT', `no file '/sys/module/${path}'`, { operation: 'sysfs write' });
    }
    parameters.write(image, name, text);
  }

  #init(name: string, init: ModuleRoutine | undefined): void {
    const result = this.#run(name, init);
    if (result >= 0) return;
    const code = errnoName(result) ?? 'EINVAL';
    throw new PatchError(code, `the init of module '${name}' returned ${result}`, { operation: 'load' });
  }

  /** Runs a module's init or exit; 0 where it has none. */
  #run(name: string, routine: ModuleRoutine | undefined): number {
    if (routine === undefined) return 0;
    const { say, runGuest } = this.#parts;
    if (typeof routine === 'function') return routine({ say });
    return Number(BigInt.asIntN(32, runGuest(`${name}:${routine}`)));
  }

  #remove(image: LoadedImage): void {
    const { images, ftrace, glue, parameters } = this.#parts;
    ftrace.removeSites([...addresses(image.sites), ...addresses(image.strays)]);
    glue.remove(entryRanges(image));
    parameters.forget(image.name);
    images.unload(image.name);
  }
}

function addresses(places: readonly { readonly address: bigint }[]): bigint[] {
  return places.map(({ address }) => address);
}

/** From the entry of each function to the end of its site: no part of its body. */
function entryRanges(image: LoadedImage): { start: bigint; end: bigint }[] {
  return image.functions.flatMap(({ address, site }) =>
    site === undefined ? [] : [{ start: address, end: site.address + BigInt(SITE_SIZE) }],
  );
}
