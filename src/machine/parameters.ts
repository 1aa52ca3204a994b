// Module parameters: set when a module loads, read and written under /sys/module afterwards (kernel/params.c).
import { type ErrnoName, PatchError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import { GuestMemory } from '../livepatch/guest-memory.ts';
import type { SysfsNode } from '../livepatch/sysfs.ts';
import { KERNEL_PARAM, type Parameter, type ParameterParts, ParameterValues } from './parameter-values.ts';
import { readGuest } from './patch-struct.ts';

/** Parameters as insmod gets them: a text, or a number or truth value that stands for one. */
export type Parameters = Readonly<Record<string, string | bigint | boolean>>;

const MAX_NAME = 256;
const WRITABLE = 0o222;
const READABLE = 0o444;

/** Sets the parameters of modules. */
export class ModuleParameters {
  readonly #parts: ParameterParts;
  readonly #values: ParameterValues;

  /** @param from those of the machine that this one is a fork of */
  constructor(parts: ParameterParts, from?: ModuleParameters) {
    this.#parts = parts;
    this.#values = new ParameterValues(parts, from === undefined ? undefined : from.#values);
  }

  /**
   * parse_args of a module that is loading. A parameter that the module does not have is ignored with a line in the log.
   *
   * @throws {PatchError} EINVAL a text is no value of the parameter's type, or has more elements than an array takes ·
   * ERANGE it does not fit · ENOSPC it is too long · EFAULT the module's table leads outside memory · what a setter of
   * the module's own returned
   */
  set(image: LoadedImage, parameters: Parameters): void {
    const entries = Object.entries(parameters);
    if (entries.length === 0) return;
    const known = this.#table(image);
    for (const [name, value] of entries) {
      const text = typeof value === 'boolean' ? (value ? 'Y' : 'N') : String(value);
      const parameter = known.find((one) => dashed(one.name) === dashed(name));
      if (parameter === undefined) this.#parts.say(`${image.name}: unknown parameter '${name}' ignored`);
      else this.#setOne(image.name, parameter, text);
    }
  }

  /**
   * The file of a parameter, or undefined where there is none: no such parameter, or one without mode bits.
   * @throws {PatchError} as `set` where the module's table is wrong; what a get of the module's own returned
   */
  file(image: LoadedImage, name: string): SysfsNode | undefined {
    const parameter = this.#table(image).find((one) => one.name === name);
    if (parameter === undefined || parameter.perm === 0) return undefined;
    const mode = modeText(parameter.perm);
    if ((parameter.perm & READABLE) === 0) return { mode };
    const shown = this.#values.show(parameter);
    if ('errno' in shown) {
      throw new PatchError(shown.errno, `'${name}' of ${image.name} cannot be shown`, { operation: 'sysfs read' });
    }
    return { mode, reads: shown.text };
  }

  /**
   * param_attr_store: a write to the file of a parameter.
   * @throws {PatchError} ENOENT no such file · EACCES its mode lets nobody write · and as `set`
   */
  write(image: LoadedImage, name: string, text: string): void {
    const parameter = this.#table(image).find((one) => one.name === name);
    const fail = (code: ErrnoName, fact: string): PatchError =>
      new PatchError(code, fact, { operation: 'sysfs write' });
    if (parameter === undefined || parameter.perm === 0) throw fail('ENOENT', `no parameter file '${name}'`);
    if ((parameter.perm & WRITABLE) === 0) throw fail('EACCES', `'${name}' has mode ${modeText(parameter.perm)}`);
    const code = this.#values.store(image.name, parameter, text);
    if (code !== undefined) throw fail(code, `'${text}' cannot be stored in parameter '${name}' of ${image.name}`);
  }

  /** Whether a module has files of parameters at all. */
  hasFiles(image: LoadedImage): boolean {
    return this.#table(image).some(({ perm }) => perm !== 0);
  }

  /** destroy_params: frees what the parameters of a module that goes have allocated. */
  forget(module: string): void {
    this.#values.forget(module);
  }

  #table(image: LoadedImage): Parameter[] {
    const { engine } = this.#parts;
    const memory = new GuestMemory((at, size) => readGuest(engine, at, size), { operation: 'load', patch: image.name });
    return image.sections
      .filter((section) => section.name === '__param')
      .flatMap(({ address, size }) =>
        Array.from({ length: Math.floor(size / KERNEL_PARAM.size) }, (_, i) => {
          const at = address + BigInt(i * KERNEL_PARAM.size);
          const view = memory.view(at, KERNEL_PARAM.size, 'struct kernel_param');
          return {
            address: at,
            name: memory.text(view.getBigUint64(KERNEL_PARAM.name, true), "a parameter's name", MAX_NAME),
            ops: view.getBigUint64(KERNEL_PARAM.ops, true),
            arg: view.getBigUint64(KERNEL_PARAM.arg, true),
            perm: view.getUint16(KERNEL_PARAM.perm, true),
          };
        }),
      );
  }

  #setOne(module: string, parameter: Parameter, text: string): void {
    const code = this.#values.store(module, parameter, text);
    if (code === undefined) return;
    const isArray = this.#parts.kinds.get(parameter.ops)?.kind === 'array';
    // param_array has put a NUL in place of the first comma by then
    const left = isArray ? text.split(',')[0] : text;
    const fact =
      code === 'ENOSPC'
        ? `${module}: \`${left}' too large for parameter \`${parameter.name}'`
        : `${module}: \`${left}' invalid for parameter \`${parameter.name}'`;
    this.#parts.say(fact);
    throw new PatchError(code, fact, { operation: 'load' });
  }
}

/** As `ls -l` prints it. */
function modeText(perm: number): string {
  const letters = [...'rwxrwxrwx'].map((letter, i) => ((perm >> (8 - i)) & 1 ? letter : '-'));
  return `-${letters.join('')}`;
}

/** Names are the same with `-` and `_` (parameq). */
function dashed(name: string): string {
  return name.replaceAll('-', '_');
}
