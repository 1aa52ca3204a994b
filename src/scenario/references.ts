// What images refer to in one another: every name is there, and no reference leads back to where it began.
import type { ScenarioImage } from './scenario.ts';

/**
 * Checks the `symbols` of images that mean a symbol of another image.
 *
 * @throws {ScenarioError} ENOENT an image that the file does not have · EINVAL images refer to one another in a circle
 */
export function checkReferences(images: readonly ScenarioImage[]): void {
  const byName = new Map(images.map((image) => [image.name, image]));
  for (const image of images) {
    for (const { to, symbol } of referencesOf(image)) {
      if (!byName.has(to)) throw nodeOf(image, symbol).error('ENOENT', `no image '${to}' in $.images`);
    }
  }
  /** Images from which no circle is reached. */
  const clear = new Set<string>();
  const visit = (image: ScenarioImage, way: readonly string[]): void => {
    if (clear.has(image.name)) return;
    for (const { to, symbol } of referencesOf(image)) {
      const start = [...way, image.name].indexOf(to);
      if (start >= 0) {
        const circle = [...way, image.name].slice(start).concat(to).join(' -> ');
        throw nodeOf(image, symbol).error('EINVAL', `images refer to one another in a circle: ${circle}`);
      }
      const next = byName.get(to);
      if (next !== undefined) visit(next, [...way, image.name]);
    }
    clear.add(image.name);
  };
  for (const image of images) visit(image, []);
}

function referencesOf({ symbols }: ScenarioImage): { symbol: string; to: string }[] {
  return Object.entries(symbols).flatMap(([symbol, value]) => {
    if (typeof value !== 'string' || value === 'ret') return [];
    return [{ symbol, to: value.slice(0, value.indexOf(':')) }];
  });
}

function nodeOf({ at }: ScenarioImage, symbol: string) {
  return at.need('symbols').need(symbol);
}
