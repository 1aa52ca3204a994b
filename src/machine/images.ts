// The images of a machine: placing them in guest memory, and naming addresses by image and symbol.
import { hex, PAGE_SIZE, pageCeil } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { ImageError } from '../errors.ts';
import { ElfFile } from '../image/elf.ts';
import type { LoadedImage } from '../image/image.ts';
import { loadImage } from '../image/load.ts';
import type { ModuleState } from '../livepatch/patch.ts';
import type { KernelSymbol, SymbolScope } from '../livepatch/symbols.ts';
import type { GuestMap } from './guest-map.ts';
import type { Parameters } from './parameters.ts';

/** What an image is to the machine. */
export type ImageKind = 'vmlinux' | 'module' | 'livepatch' | 'code';

/** A module's init or exit: a symbol of the image, or a host function. Of init the result counts: 0 or -errno. */
export type ModuleRoutine = string | ((call: { say(line: string): void }) => number);

/** How to load an image. */
export interface LoadOptions {
  /** The name it goes by; unique in the machine. */
  name: string;
  /** By default `vmlinux` for the first image and `code` for the others. */
  kind?: ImageKind;
  /** What undefined symbols mean: an address, `'ret'` (a function that only returns), or `'image:symbol'`. */
  symbols?: Readonly<Record<string, bigint | string>>;
  /**
   * Of a module: what runs when it is loaded, and when it is unloaded; by default its own `init_module` and
   * `cleanup_module`, where it has them.
   */
  init?: ModuleRoutine;
  exit?: ModuleRoutine;
  /** Of a module: what insmod sets its parameters to. */
  params?: Parameters;
}

/** A place in the guest by name. */
export interface Location {
  readonly address: bigint;
  /** `image:symbol`, or the bare address where no symbol holds it. */
  readonly name: string;
  /** Bytes past the symbol's start. */
  readonly offset: bigint;
}

/** The fields of struct module that are kept true: state at 0, name at 0x18 (6.1 and 6.12). */
const MODULE_NAME = 0x18;
const MODULE_NAME_LEN = 56;
const MODULE_HEAD_SIZE = BigInt(MODULE_NAME + MODULE_NAME_LEN);
const MODULE_STATES: readonly ModuleState[] = ['LIVE', 'COMING', 'GOING'];

/** The images of one machine, in the order of loading. */
export class Images {
  readonly #engine: Engine;
  readonly #routines: ReadonlyMap<string, bigint>;
  readonly #images: Map<string, LoadedImage>;
  readonly #kinds = new WeakMap<LoadedImage, ImageKind>();
  readonly #modules = new Map<string, { state: ModuleState; exit: ModuleRoutine | undefined }>();
  readonly #guestMap: GuestMap;
  readonly #next: Record<'kernelText' | 'modules', bigint>;

  /**
   * @param routines what every image may import, by name
   * @param from those of the machine that this one is a fork of; a loaded image never changes, so it is common
   */
  constructor(engine: Engine, routines: ReadonlyMap<string, bigint>, map: GuestMap, from?: Images) {
    this.#engine = engine;
    this.#routines = routines;
    this.#guestMap = map;
    this.#images = new Map(from === undefined ? [] : from.#images);
    this.#next = { kernelText: map.kernelText.base, modules: map.modules.base };
    if (from === undefined) return;
    Object.assign(this.#next, from.#next);
    for (const image of this.#images.values()) this.#kinds.set(image, from.kindOf(image) ?? 'code');
    for (const [name, { state, exit }] of from.#modules) this.#modules.set(name, { state, exit });
  }

  /** All images in the order of loading. */
  get all(): readonly LoadedImage[] {
    return [...this.#images.values()];
  }

  get(name: string): LoadedImage | undefined {
    return this.#images.get(name);
  }

  /** What a loaded image is to the machine. */
  kindOf(image: LoadedImage): ImageKind | undefined {
    return this.#kinds.get(image);
  }

  /**
   * Lays an image out, relocates it and maps it.
   *
   * @throws {ImageError} EEXIST the name is taken · ENOENT a `symbols` entry names nothing · ENOMEM no room · and what
   * `ElfFile.parse` and `loadImage` throw. Nothing stays mapped then.
   */
  load(bytes: Uint8Array, options: LoadOptions): LoadedImage {
    const { name } = options;
    if (this.#images.has(name)) {
      throw new ImageError('EEXIST', `an image named '${name}' is loaded already`, { operation: 'load', image: name });
    }
    const kind = options.kind ?? (this.#images.size === 0 ? 'vmlinux' : 'code');
    const area = kind === 'vmlinux' ? 'kernelText' : 'modules';
    const file = ElfFile.parse(bytes, name);
    const base = this.#next[area];
    const image = loadImage(file, { base, resolve: (symbol) => this.#resolve(symbol, options) });
    // an executable keeps its own addresses
    const placed = image.type !== 'executable';
    const region = this.#guestMap[area];
    if (placed && image.end > region.base + region.size) {
      throw new ImageError('ENOMEM', `'${name}' does not fit into the ${region.size} bytes for ${kind} images`, {
        operation: 'load',
        image: name,
      });
    }
    this.#map(image);
    this.#images.set(name, image);
    this.#kinds.set(image, kind);
    if (kind === 'module' || kind === 'livepatch') {
      this.#modules.set(name, { state: 'COMING', exit: options.exit });
      this.setModuleState(name, 'COMING');
    }
    // one page stays unmapped between images, so that running off an end faults
    if (placed) this.#next[area] = pageCeil(image.end) + PAGE_SIZE;
    return image;
  }

  /** Unmaps an image and forgets it; nothing where there is none. */
  unload(name: string): void {
    const image = this.#images.get(name);
    if (image === undefined) return;
    const area = this.#kinds.get(image) === 'vmlinux' ? 'kernelText' : 'modules';
    for (const { address, bytes } of image.segments) this.#engine.unmap(address, pageCeil(BigInt(bytes.length)));
    this.#images.delete(name);
    this.#modules.delete(name);
    // the newest image gives its place back, so that a module may come and go for ever
    if (this.#next[area] === pageCeil(image.end) + PAGE_SIZE) this.#next[area] = image.base;
  }

  /** Where a module stands; GOING where there is none. */
  moduleState(name: string): ModuleState {
    return this.#modules.get(name)?.state ?? 'GOING';
  }

  setModuleState(name: string, state: ModuleState): void {
    const module = this.#modules.get(name);
    if (module === undefined) return;
    module.state = state;
    const struct = this.moduleStruct(name);
    if (struct !== undefined) this.#engine.write(struct, moduleHead(name, state));
  }

  /** The struct module of an image (`__this_module`), where it has one. */
  moduleStruct(name: string): bigint | undefined {
    const [symbol] = this.#images.get(name)?.symbolsNamed('__this_module') ?? [];
    // smaller than what is written into it, it is no struct module
    return symbol !== undefined && symbol.size >= MODULE_HEAD_SIZE ? symbol.address : undefined;
  }

  /** What runs when a module is unloaded. */
  exitOf(name: string): ModuleRoutine | undefined {
    return this.#modules.get(name)?.exit;
  }

  /** The address of `image:symbol`, or of a symbol that one image alone defines globally. */
  address(name: string): bigint | undefined {
    const colon = name.indexOf(':');
    if (colon >= 0) return symbolIn(this.#images.get(name.slice(0, colon)), name.slice(colon + 1));
    for (const image of this.#images.values()) {
      const found = symbolIn(image, name);
      if (found !== undefined) return found;
    }
    return this.#routines.get(name);
  }

  /** The function or symbol that holds an address. */
  locate(address: bigint): Location {
    for (const image of this.#images.values()) {
      if (address < image.base || address >= image.end) continue;
      const func = image.functionAt(address);
      if (func !== undefined) {
        return { address, name: `${image.name}:${func.name}`, offset: address - func.address };
      }
    }
    for (const [name, start] of this.#routines) if (start === address) return { address, name, offset: 0n };
    return { address, name: hex(address), offset: 0n };
  }

  /** An address as %pS prints it, `symbol+0x5/0x20 [module]`; without offset and size as %ps does. */
  symbolText(address: bigint, offset: boolean): string {
    const image = this.imageAt(address);
    const func = image?.functionAt(address);
    if (image === undefined || func === undefined) return hex(address);
    const kind = this.kindOf(image);
    const module = kind === 'module' || kind === 'livepatch' ? ` [${image.name}]` : '';
    const place = offset ? `+${hex(address - func.address)}/${hex(BigInt(func.size))}` : '';
    return `${func.symbol.name}${place}${module}`;
  }

  /** The symbols livepatch looks functions up in: vmlinux for null, else the module of that name (L21). */
  object(name: string | null): SymbolScope | undefined {
    const image = name === null ? this.all.find((one) => this.kindOf(one) === 'vmlinux') : this.#images.get(name);
    if (image === undefined || (name !== null && this.kindOf(image) !== 'module')) return undefined;
    return { name, named: (symbol) => image.symbolsNamed(symbol) };
  }

  /** The symbols of any image by its name. */
  scope(name: string): SymbolScope | undefined {
    const image = this.#images.get(name);
    return image && { name, named: (symbol) => image.symbolsNamed(symbol) };
  }

  /** The function of any image that holds an address, with its size as the symbol table has it. */
  holder(address: bigint): KernelSymbol | undefined {
    return this.imageAt(address)?.functionAt(address)?.symbol;
  }

  /** The image that lies at an address. */
  imageAt(address: bigint): LoadedImage | undefined {
    for (const image of this.#images.values()) if (address >= image.base && address < image.end) return image;
    return undefined;
  }

  /** The site of the function that starts at `address`, or `address` itself where it is a site (F9). */
  site(address: bigint): bigint | undefined {
    for (const image of this.#images.values()) {
      if (address >= image.base && address < image.end) return image.ftraceLocation(address);
    }
    return undefined;
  }

  #resolve(symbol: string, { name, symbols }: LoadOptions): bigint | undefined {
    // the names come from the file: 'constructor' is no entry unless it was given
    const given = symbols !== undefined && Object.hasOwn(symbols, symbol) ? symbols[symbol] : undefined;
    if (typeof given === 'bigint') return given;
    const wanted = given === 'ret' ? '__x86_return_thunk' : given;
    if (wanted === undefined) return this.#routines.get(symbol) ?? this.#exported(symbol);
    const found = this.address(wanted);
    if (found === undefined) {
      throw new ImageError('ENOENT', `symbol '${symbol}' is to be '${wanted}', which no image defines`, {
        operation: 'load',
        image: name,
      });
    }
    return found;
  }

  /** A global symbol of an image that is loaded already. */
  #exported(symbol: string): bigint | undefined {
    for (const image of this.#images.values()) {
      const found = image.symbolsNamed(symbol).find((one) => one.binding !== 'local');
      if (found !== undefined) return found.address;
    }
    return undefined;
  }

  #map(image: LoadedImage): void {
    const mapped: { address: bigint; size: bigint }[] = [];
    try {
      for (const { address, bytes, access } of image.segments) {
        const size = pageCeil(BigInt(bytes.length));
        this.#engine.map(address, size, access);
        mapped.push({ address, size });
        this.#engine.write(address, bytes);
      }
    } catch (error) {
      for (const { address, size } of mapped.reverse()) this.#engine.unmap(address, size);
      throw error;
    }
  }
}

function symbolIn(image: LoadedImage | undefined, name: string): bigint | undefined {
  if (image === undefined) return undefined;
  return image.functionNamed(name)?.address ?? symbolTitled(image, name)?.address;
}

/** A symbol by its title: `name`, or `name,N` where the image has several of that name. */
function symbolTitled(image: LoadedImage, title: string): { address: bigint } | undefined {
  const named = image.symbolsNamed(title.replace(/,\d+$/, ''));
  return named.find((one) => one.title === title);
}

/** The first bytes of struct module, the list pointers left NULL: state and name. */
function moduleHead(name: string, state: ModuleState): Uint8Array {
  const bytes = new Uint8Array(Number(MODULE_HEAD_SIZE));
  bytes[0] = MODULE_STATES.indexOf(state);
  bytes.set(new TextEncoder().encode(name).subarray(0, MODULE_NAME_LEN - 1), MODULE_NAME);
  return bytes;
}
