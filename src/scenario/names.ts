// Finds what a scenario names: `image:symbol`, `symbol`, `symbol,N`; and what lies at an address.
import { hex, wrap } from '../address.ts';
import { SITE_SIZE } from '../ftrace/site.ts';
import type { LoadedImage } from '../image/image.ts';
import type { FunctionInfo } from '../image/sites.ts';
import type { JsonNode } from '../json.ts';
import type { Machine } from '../machine.ts';

/** A function and the image that defines it. */
export interface NamedFunction {
  readonly image: LoadedImage;
  readonly info: FunctionInfo;
}

/** `image:symbol`, with `,N` where the image has the name more than once. */
export function fullName({ image, info }: NamedFunction): string {
  return `${image.name}:${info.name}`;
}

/**
 * The function of this name, or undefined. Without an image the first one that defines the name counts.
 *
 * @param at where the name stands in the scenario
 * @throws {ScenarioError} EINVAL the image has several functions of that name
 */
export function findFunction(machine: Machine, name: string, at: JsonNode): NamedFunction | undefined {
  const colon = name.indexOf(':');
  const symbol = colon < 0 ? name : name.slice(colon + 1);
  const images = machine.images.all.filter((image) => colon < 0 || image.name === name.slice(0, colon));
  for (const image of images) {
    const exact = image.functions.find((info) => info.name === symbol);
    if (exact !== undefined) return { image, info: exact };
    const same = image.functions.filter((info) => info.symbol.name === symbol);
    if (same.length > 1) {
      const titles = same.map((info) => info.name).join(', ');
      throw at.error(
        'EINVAL',
        `'${image.name}' has ${same.length} functions named '${symbol}': write one of ${titles}`,
      );
    }
  }
  return undefined;
}

/**
 * The function of this name.
 * @throws {ScenarioError} ENOENT no loaded image defines it · EINVAL ambiguous
 */
export function needFunction(machine: Machine, name: string, at: JsonNode): NamedFunction {
  const found = findFunction(machine, name, at);
  if (found !== undefined) return found;
  const images = machine.images.all.map((image) => `'${image.name}'`).join(', ');
  throw at.error('ENOENT', `no function '${name}' in the loaded images ${images}`);
}

/**
 * The address of a function, or of any other symbol.
 * @throws {ScenarioError} ENOENT no loaded image defines it · EINVAL ambiguous
 */
export function addressOf(machine: Machine, name: string, at: JsonNode): bigint {
  const found = findFunction(machine, name, at)?.info.address ?? machine.images.address(name);
  if (found === undefined) throw at.error('ENOENT', `no loaded image defines '${name}'`);
  return found;
}

/** `image:symbol+0x1a`: what stands before the offset, and the offset. */
const PLACE = /^(.+?)(?:\+(0x[0-9a-f]{1,16}|[0-9]{1,18}))?$/i;

/**
 * The address of an instruction by a symbol's name and an offset.
 * @throws {ScenarioError} as `addressOf`
 */
export function placeOf(machine: Machine, at: JsonNode): bigint {
  const [, name = '', offset = '0'] = PLACE.exec(at.name()) ?? [];
  return wrap(addressOf(machine, name, at) + BigInt(offset));
}

/** True where the address lies in the function's code; other names of the same code count as well (L21). */
export function holdsAddress({ info }: NamedFunction, address: bigint): boolean {
  return address >= info.address && address < info.address + BigInt(Math.max(info.size, 1));
}

/** The first instruction that counts as having reached the function: after its site, where it has one. */
export function firstInstruction(machine: Machine, entry: bigint): bigint {
  const site = machine.images.site(entry);
  return site === undefined ? entry : site + BigInt(SITE_SIZE);
}

/** The func stack of the function with this site, newest first, as one line. */
export function describeStack(machine: Machine, site: bigint): string {
  const entries = machine.livepatch
    .stack(site)
    .map(({ patch, newFunc, nop }) => (nop ? `nop of ${patch} (${newFunc})` : `${patch} (${newFunc})`));
  return entries.length === 0 ? 'empty' : entries.join(' > ');
}

/** `image:symbol`, or `image:symbol+0x5` where the offset is not that of the function's first instruction. */
export function describePlace(machine: Machine, address: bigint): string {
  const { name, offset } = machine.images.locate(address);
  return firstInstruction(machine, address - offset) === address ? name : `${name}+${hex(offset)}`;
}
