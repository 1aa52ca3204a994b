// What `inspect` shows of a livepatch module: patch → object → func as its structs in .data say.
import { hex } from '../address.ts';
import { PatchError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import { ImageMemory } from '../image/memory.ts';
import { GuestMemory } from '../livepatch/guest-memory.ts';
import { decodePatch, type GuestObject, type GuestPatch } from '../livepatch/guest-patch.ts';
import { objectTitle } from '../livepatch/patch.ts';
import { patchSymbols } from '../machine/patch-struct.ts';
import type { Paint } from './table.ts';

/** A struct klp_patch of a file: what it holds, or why it cannot be read. */
export interface FoundPatch {
  readonly symbol: string;
  readonly address: bigint;
  readonly patch: GuestPatch | undefined;
  readonly error: PatchError | undefined;
  /** Names an address of the file: a symbol, or the address itself. */
  readonly nameOf: (address: bigint) => string;
}

/**
 * The patches of a file. Data of the size of a struct klp_patch that cannot be read as one is shown only where the file
 * says that it is a livepatch (`.modinfo`), as it may be anything else elsewhere.
 */
export function findPatches(image: LoadedImage): FoundPatch[] {
  const memory = new ImageMemory(image.segments);
  const guest = new GuestMemory((address, size) => memory.view(address, size), { operation: 'inspect' });
  const names = new Map(image.symbols.map((symbol) => [symbol.address, symbol.title]));
  for (const info of image.functions) names.set(info.address, info.aliasOf ?? info.name);
  const nameOf = (address: bigint): string => names.get(address) ?? hex(address);
  return patchSymbols(image).flatMap(({ title, address }): FoundPatch[] => {
    const found = { symbol: title, address, nameOf };
    try {
      return [{ ...found, patch: decodePatch(guest, address), error: undefined }];
    } catch (error) {
      if (!(error instanceof PatchError)) throw error;
      return image.modinfo.get('livepatch') === 'Y' ? [{ ...found, patch: undefined, error }] : [];
    }
  });
}

/** One patch as lines, indented by level. */
export function patchText({ symbol, address, patch, error, nameOf }: FoundPatch, paint: Paint): string[] {
  const title = `${paint('bold', `patch ${symbol}`)} at ${hex(address)}`;
  if (patch === undefined) return [`${title}: ${paint('bad', error?.message ?? 'cannot be read')}`];
  const states = patch.states.map(({ id, version }) => `  state ${id} version ${version}`);
  return [
    `${title}${patch.replace ? ', replaces all others' : ''}`,
    ...states,
    ...patch.objects.flatMap((object) => objectText(object, nameOf)),
  ];
}

function objectText({ name, funcs, callbacks }: GuestObject, nameOf: FoundPatch['nameOf']): string[] {
  const set = Object.entries(callbacks).filter(([, address]) => address !== 0n);
  return [
    `  object ${objectTitle(name)}`,
    ...set.map(([word, address]) => `    callback ${word}: ${nameOf(address)}`),
    ...funcs.map(({ oldName, oldSympos, newFunc }) => {
      return `    func ${oldName || '(NULL)'}${oldSympos === 0n ? '' : `,${oldSympos}`} -> ${nameOf(newFunc)}`;
    }),
  ];
}

/** The same for programs. */
export function patchJson({ symbol, address, patch, error, nameOf }: FoundPatch): object {
  if (patch === undefined) return { symbol, address: hex(address), error: error?.message ?? 'cannot be read' };
  return {
    symbol,
    address: hex(address),
    replace: patch.replace,
    states: patch.states.map(({ id, version }) => ({ id: hex(id), version })),
    objects: patch.objects.map(({ name, funcs, callbacks }) => ({
      name,
      callbacks: Object.fromEntries(
        Object.entries(callbacks).flatMap(([word, at]) => (at === 0n ? [] : [[word, nameOf(at)]])),
      ),
      funcs: funcs.map(({ oldName, oldSympos, newFunc }) => {
        return { oldName, oldSympos: hex(oldSympos), newFunc: nameOf(newFunc), newAddress: hex(newFunc) };
      }),
    })),
  };
}
