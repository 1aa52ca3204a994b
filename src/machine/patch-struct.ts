// Finds the struct klp_patch of a livepatch module and decodes it from guest memory.
import { ADDRESS_LIMIT } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { EngineError, PatchError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import type { LoadedSymbol } from '../image/symbols.ts';
import { GuestMemory } from '../livepatch/guest-memory.ts';
import { decodePatch, KLP_PATCH } from '../livepatch/guest-patch.ts';
import type { Log } from '../livepatch/log.ts';
import type { PatchSpec } from '../livepatch/patch.ts';
import { specOfStruct } from '../livepatch/struct-spec.ts';
import type { Images } from './images.ts';

/** What decoding works on. */
export interface StructParts {
  readonly images: Images;
  readonly engine: Engine;
  readonly log: Log;
}

/** The data symbols of an image that have the size of a struct klp_patch. */
export function patchSymbols(image: LoadedImage): LoadedSymbol[] {
  return image.symbols.filter(({ kind, size }) => kind === 'object' && size === BigInt(KLP_PATCH.size));
}

/** See Machine.patchStruct. */
export function patchStruct(image: string, symbol: string | undefined, parts: StructParts): PatchSpec {
  const fail = (fact: string): PatchError =>
    new PatchError('ENOENT', fact, { operation: 'decode patch', patch: image });
  const loaded = parts.images.get(image);
  if (loaded === undefined) throw fail(`no image '${image}' is loaded`);
  const found = symbol === undefined ? patchSymbols(loaded) : loaded.symbolsNamed(symbol);
  const [one, another] = found;
  const wanted = symbol === undefined ? 'struct klp_patch' : `symbol '${symbol}'`;
  if (one === undefined) throw fail(`'${image}' has no ${wanted}`);
  if (another !== undefined) throw fail(`'${image}' has ${found.length} of ${wanted}; name another symbol`);
  return specAt(one.address, parts);
}

/**
 * The patch of which the struct lies at an address; its name is that of the module that its `mod` points into.
 *
 * @throws {PatchError} as decodePatch · EINVAL `mod` is no loaded module, or not marked as a livepatch (L11)
 */
export function specAt(address: bigint, { images, engine, log }: StructParts): PatchSpec {
  const about = { operation: 'decode patch' };
  const memory = new GuestMemory((at, size) => readGuest(engine, at, size), about);
  const patch = decodePatch(memory, address);
  const { mod } = patch;
  if (mod === 0n) throw memory.error('EINVAL', 'the patch has no mod (NULL),', address); // L9
  const module = images.imageAt(mod);
  if (module === undefined) throw memory.error('EINVAL', 'the mod of the patch is no loaded module,', address);
  if (module.modinfo.get('livepatch') !== 'Y') {
    throw log.refuse('EINVAL', { kind: 'notLivepatch', module: module.name }, { ...about, patch: module.name });
  }
  return specOfStruct(module.name, module.name, patch);
}

/** Guest memory, or undefined where some of it is not mapped. */
export function readGuest(engine: Engine, address: bigint, size: number): Uint8Array | undefined {
  if (address + BigInt(size) > ADDRESS_LIMIT) return undefined;
  try {
    return engine.read(address, size);
  } catch (error) {
    if (error instanceof EngineError && error.code === 'EFAULT') return undefined;
    throw error;
  }
}
