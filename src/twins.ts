// The objects of a machine and their copies in a fork of it.

/** One copy for each object, whoever refers to it. */
export class Twins {
  readonly #copies = new Map<object, unknown>();

  /** The copy of `original`; `copy` makes it the first time. */
  of<T extends object>(original: T, copy: (original: T) => T): T {
    const known = this.#copies.get(original);
    // what stands under an object was made by its own `copy`
    if (known !== undefined) return known as T;
    const made = copy(original);
    this.#copies.set(original, made);
    return made;
  }
}
