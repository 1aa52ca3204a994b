// What `inspect` shows: every function of a file, its site, its entry disassembled, whether it can be patched; patches.
import { hex, hexBytes } from '../address.ts';
import type { LoadedImage } from '../image/image.ts';
import type { FunctionInfo } from '../image/sites.ts';
import { decode } from '../x86/decode.ts';
import { findPatches, patchJson, patchText } from './inspect-patch.ts';
import { count, type Paint, plain, table } from './table.ts';

/** Instructions shown of each entry. */
const SHOWN = 3;

/** The functions as a table, and how many can be patched. */
export function inspectText(image: LoadedImage, paint: Paint = plain): string {
  const rows = image.functions.map((info) => {
    const entry = entryOf(image, info);
    return [
      info.name,
      hex(info.address),
      String(info.size),
      info.site === undefined ? '-' : `+${hex(info.site.offset)}`,
      hexBytes(entry.bytes),
      info.site === undefined ? `not patchable: ${info.reason}` : entry.text.join('; '),
    ];
  });
  const headings = ['function', 'address', 'size', 'site', 'entry', 'instructions, or why it is not patchable'];
  const patchable = image.functions.filter((info) => info.site !== undefined).length;
  const lines = table(headings, rows, [2], paint);
  if (image.unresolved.length > 0)
    lines.push(`undefined symbols, left unresolved here: ${image.unresolved.join(', ')}`);
  for (const { address, reason } of image.strays) lines.push(`listed site ${hex(address)}: ${reason}`);
  for (const patch of findPatches(image)) lines.push(...patchText(patch, paint));
  lines.push(
    `${count(image.functions.length, 'function')}, ${patchable} patchable, ${image.functions.length - patchable} not`,
  );
  return lines.join('\n');
}

/** The same for programs, format `tramp64-inspect/1`. */
export function inspectJson(image: LoadedImage): object {
  return {
    format: 'tramp64-inspect/1',
    file: image.name,
    functions: image.functions.map((info) => {
      const { bytes, text } = entryOf(image, info);
      return {
        name: info.name,
        address: hex(info.address),
        size: info.size,
        ...(info.aliasOf === undefined ? {} : { aliasOf: info.aliasOf }),
        site:
          info.site === undefined
            ? null
            : { address: hex(info.site.address), offset: info.site.offset, form: info.site.form },
        entry: hexBytes(bytes),
        instructions: text,
        patchable: info.site !== undefined,
        ...(info.reason === undefined ? {} : { reason: info.reason }),
      };
    }),
    livepatch: image.modinfo.get('livepatch') === 'Y',
    patches: findPatches(image).map(patchJson),
    undefinedSymbols: image.unresolved,
    strays: image.strays.map(({ address, reason }) => ({ address: hex(address), reason })),
  };
}

/** The first instructions of a function as the file has them, before the site is converted. */
function entryOf(image: LoadedImage, info: FunctionInfo): { bytes: Uint8Array; text: string[] } {
  const segment = image.segments.find(({ address, bytes }) => {
    return info.address >= address && info.address < address + BigInt(bytes.length);
  });
  if (segment === undefined) return { bytes: new Uint8Array(), text: [] };
  const start = Number(info.address - segment.address);
  const code = segment.bytes.slice(start, start + Math.min(info.size, 48));
  if (info.site !== undefined)
    code.set(info.site.original.subarray(0, Math.max(code.length - info.site.offset, 0)), info.site.offset);
  const shown = info.site === undefined ? SHOWN : info.site.offset > 0 ? 2 : 1;
  const instructions = decode(code, info.address, shown);
  const length = instructions.reduce((sum, one) => sum + one.length, 0);
  return {
    bytes: code.slice(0, length),
    text: instructions.map((one) =>
      one.ip === info.site?.address && one.flow === 'call' ? 'call __fentry__' : one.text,
    ),
  };
}
