// The patches of a machine in the order of enabling (klp_patches), those that were replaced, and the modules inserted.
import { PatchError } from '../errors.ts';
import type { Twins } from '../twins.ts';
import { type Patch, twinOfPatch } from './patch.ts';

/** The list of patches, by name as well as in order. */
export class PatchList {
  readonly #patches = new Map<string, Patch>();
  /** klp_replaced_patches of the policy `v10`: out of use, and still registered (L53). */
  readonly #replaced = new Map<string, Patch>();
  /** Patch modules that are inserted, and whether a patch holds its module. */
  readonly #inserted = new Map<string, { held: boolean }>();

  /** @param fork that of the machine that this one is a fork of */
  constructor(fork?: { readonly from: PatchList; readonly twins: Twins }) {
    if (fork === undefined) return;
    const { from, twins } = fork;
    for (const [name, patch] of from.#patches) this.#patches.set(name, twinOfPatch(patch, twins));
    for (const [name, patch] of from.#replaced) this.#replaced.set(name, twinOfPatch(patch, twins));
    for (const [name, { held }] of from.#inserted) this.#inserted.set(name, { held });
  }

  /** The patches, oldest first. */
  get all(): readonly Patch[] {
    return [...this.#patches.values()];
  }

  get(name: string): Patch | undefined {
    return this.#patches.get(name);
  }

  /** A patch that was replaced and is still registered (L53). */
  getReplaced(name: string): Patch | undefined {
    return this.#replaced.get(name);
  }

  /** klp_throw_away_replaced_patches: out of use from now on (L53). */
  moveToReplaced(patch: Patch): void {
    this.#patches.delete(patch.name);
    this.#replaced.set(patch.name, patch);
  }

  /** Puts a patch at the end of the list. */
  add(patch: Patch): void {
    this.#patches.set(patch.name, patch);
  }

  /** Takes a patch off the list as if it had never been there. */
  withdraw(patch: Patch): void {
    this.#patches.delete(patch.name);
  }

  /** The module of a listed patch is inserted, and held by it. */
  hold(patch: Patch): void {
    this.#inserted.set(patch.name, { held: true });
  }

  /** The patch leaves the list and sysfs; its module is given back unless it was forced (L49, L74). */
  free(patch: Patch): void {
    this.#patches.delete(patch.name);
    this.#replaced.delete(patch.name);
    const module = this.#inserted.get(patch.name);
    if (module !== undefined) module.held = patch.forced;
  }

  /** The patches before this one. */
  earlier(patch: Patch): readonly Patch[] {
    const before: Patch[] = [];
    for (const one of this.#patches.values()) {
      if (one === patch) break;
      before.push(one);
    }
    return before;
  }

  /** The next and the previous patch on the list, where there are any. */
  neighbours(patch: Patch): { before: Patch | undefined; after: Patch | undefined } {
    const all = this.all;
    const at = all.indexOf(patch);
    return { before: all[at - 1], after: all[at + 1] };
  }

  /** True while a patch's module is inserted. */
  isInserted(name: string): boolean {
    return this.#inserted.has(name);
  }

  /** True where a patch that is no longer listed keeps its module for ever (L74). */
  isKeptForGood(name: string): boolean {
    return this.#inserted.get(name)?.held === true && !this.#patches.has(name) && !this.#replaced.has(name);
  }

  /** @throws {PatchError} EBUSY the module of that name is held by its patch, or for good (L74) */
  refuseRemoval(name: string): void {
    if (this.#inserted.get(name)?.held !== true) return;
    throw new PatchError('EBUSY', `module '${name}' is in use by its patch`, { operation: 'unload', patch: name });
  }

  /** A module that was freed while its patch was listed: as if neither had ever been there. */
  forget(patch: Patch): void {
    this.#patches.delete(patch.name);
    this.#inserted.delete(patch.name);
  }

  /**
   * Removes a patch's module.
   * @throws {PatchError} ENOENT it is not inserted · EBUSY its patch is listed, or was forced (L74)
   */
  removeModule(name: string): void {
    const about = { operation: 'unload', patch: name };
    if (!this.#inserted.has(name)) throw new PatchError('ENOENT', `module '${name}' is not loaded`, about);
    this.refuseRemoval(name);
    this.#inserted.delete(name);
  }
}
