// The guest's handlers as code in guest memory: loaded when they are first needed.
import { pageCeil } from '../../address.ts';
import type { Engine } from '../../engine/engine.ts';
import { TrampolineError } from '../../errors.ts';
import { ElfFile } from '../../image/elf.ts';
import type { LoadedImage } from '../../image/image.ts';
import { loadImage } from '../../image/load.ts';
import { HANDLER_BASE64 } from './handler.generated.ts';

/** What the object defines, as the host uses it. */
export type HandlerSymbol =
  | 'klp_ftrace_handler'
  | 'klp_warnings'
  | 'arch_ftrace_ops_list_func'
  | 'ftrace_ops_list'
  | 'ftrace_ops_assist_func'
  | 'ftrace_count_func'
  | 'ftrace_call_func'
  | 'call_direct_funcs'
  | 'kprobe_ftrace_handler'
  | 'ftrace_graph_func'
  | 'ftrace_graph'
  | 'ftrace_graph_depth'
  | 'ftrace_graph_hook'
  | 'return_to_handler_6_1'
  | 'return_to_handler_6_12'
  | 'ftrace_stub';

/** The object of handler.c at a fixed place. A machine that needs none of it never loads it. */
export class HandlerText {
  readonly #engine: Engine;
  readonly #base: bigint;
  readonly #routines: ReadonlyMap<string, bigint>;
  #image: LoadedImage | undefined;

  /**
   * @param routines the kernel's thunks by name
   * @param from that of the machine that this one is a fork of; what is loaded there, is here
   */
  constructor(engine: Engine, base: bigint, routines: ReadonlyMap<string, bigint>, from?: HandlerText) {
    if (from !== undefined) this.#image = from.#image;
    this.#engine = engine;
    this.#base = base;
    this.#routines = routines;
  }

  get loaded(): boolean {
    return this.#image !== undefined;
  }

  /** Where a function or variable lies; loads the object at the first question. */
  address(name: HandlerSymbol): bigint {
    this.#image ??= this.#load();
    const [symbol] = this.#image.symbolsNamed(name);
    if (symbol === undefined) {
      throw new TrampolineError('ENOENT', `the handlers define no '${name}'`, { operation: 'look up' });
    }
    return symbol.address;
  }

  /** The code as an image, where it holds an address. */
  imageAt(address: bigint): LoadedImage | undefined {
    const image = this.#image;
    return image !== undefined && address >= image.base && address < image.end ? image : undefined;
  }

  /** The function that holds an address, or undefined. */
  nameAt(address: bigint): string | undefined {
    return this.#image?.functionAt(address)?.name;
  }

  #load(): LoadedImage {
    const bytes = Uint8Array.from(atob(HANDLER_BASE64), (char) => char.charCodeAt(0));
    const image = loadImage(ElfFile.parse(bytes, 'handlers'), {
      base: this.#base,
      resolve: (name) => this.#routines.get(name),
    });
    for (const { address, bytes: content, access } of image.segments) {
      this.#engine.map(address, pageCeil(BigInt(content.length)), access);
      this.#engine.write(address, content);
    }
    return image;
  }
}
