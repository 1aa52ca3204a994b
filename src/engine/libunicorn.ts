// The system's libunicorn 2.x, called through koffi. Neither is imported before an engine is made on it.
import type koffiTypes from 'koffi';
import { EngineError } from '../errors.ts';

type Koffi = typeof koffiTypes;
type Native = (...values: unknown[]) => number;

/** A native function that was made from a JavaScript one. */
export type Callback = ReturnType<Koffi['register']>;

/** A CPU of the library, or a place where it leaves one. */
export type Handle = unknown;

/** The library's functions, by their names without `uc_`. All but `version` give an error number, 0 for none. */
export interface LibUnicorn {
  /** Major and minor version and patch: `2.0.1`. */
  readonly version: string;
  open(arch: number, mode: number, handle: [Handle]): number;
  close(handle: Handle): number;
  readonly regRead: Native;
  readonly regWrite: Native;
  readonly memMap: Native;
  /** The bytes stay where they are; whoever gives them keeps them. */
  readonly memMapBytes: Native;
  readonly memUnmap: Native;
  readonly memProtect: Native;
  readonly memRead: Native;
  readonly memWrite: Native;
  readonly emuStart: Native;
  readonly emuStop: Native;
  readonly hookDel: Native;
  /** Adds a hook over all addresses (`begin` 1, `end` 0) or over a range; its number is left in `hook`. */
  hookAdd(handle: Handle, hook: [number], type: number, callback: Callback, begin: bigint, end: bigint): number;
  /** Forgets what was translated of the bytes from `start` to `end`, exclusive. */
  removeCache(handle: Handle, start: bigint, end: bigint): number;
  /** Error number in words. */
  describe(error: number): string;
  /** A JavaScript function as a hook's; to be released with `release`. */
  callback(kind: keyof typeof PROTOTYPES, action: (...values: never[]) => unknown): Callback;
  release(callback: Callback): void;
}

const PROTOTYPES = {
  block: 'void tramp64_block(void *uc, uint64_t address, uint32_t size, void *data)',
  access: 'void tramp64_access(void *uc, int type, uint64_t address, int size, int64_t value, void *data)',
  badAccess: 'bool tramp64_bad_access(void *uc, int type, uint64_t address, int size, int64_t value, void *data)',
  interrupt: 'void tramp64_interrupt(void *uc, uint32_t vector, void *data)',
} as const;

/** Where the library is looked for, unless TRAMP64_LIBUNICORN names it. */
const NAMES = ['libunicorn.so.2', 'libunicorn.2.dylib', 'unicorn.dll'];

/** UC_CTL_TB_REMOVE_CACHE, written, with two arguments. */
const REMOVE_CACHE = 9 + 2 * 2 ** 26 + 2 ** 30;

let loaded: Promise<LibUnicorn> | undefined;

/**
 * Loads koffi and the library, once for the process.
 *
 * @throws {EngineError} ENODEV koffi or the library is not there, or the library is not of version 2
 */
export function loadLibUnicorn(): Promise<LibUnicorn> {
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined; // it may be installed by the next time
    throw error;
  });
  return loaded;
}

async function load(): Promise<LibUnicorn> {
  const koffi = await importKoffi();
  const library = openLibrary(koffi);
  const version = versionOf(library);
  if (version >>> 24 !== 2) throw absent(`this libunicorn is of version ${version >>> 24}, not 2`);
  return bind(koffi, library, `${version >>> 24}.${(version >>> 16) & 0xff}.${(version >>> 8) & 0xff}`);
}

function versionOf(library: ReturnType<Koffi['load']>): number {
  try {
    return (library.func('uint32_t uc_version(void *major, void *minor)') as Native)(null, null);
  } catch (cause) {
    throw absent(`'${wanted() ?? NAMES.join("' or '")}' is no libunicorn`, cause);
  }
}

/** What TRAMP64_LIBUNICORN names. */
function wanted(): string | undefined {
  const host = globalThis as { process?: { env: Record<string, string | undefined> } };
  const name = host.process?.env.TRAMP64_LIBUNICORN;
  return name === '' ? undefined : name;
}

/** By a name that bundlers leave alone: a browser has neither koffi nor a use for it. */
async function importKoffi(): Promise<Koffi> {
  const name = 'koffi';
  try {
    const module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as { default: Koffi };
    return module.default;
  } catch (cause) {
    throw absent('the npm package koffi is not installed; npm install koffi', cause);
  }
}

function openLibrary(koffi: Koffi): ReturnType<Koffi['load']> {
  const given = wanted();
  let cause: unknown;
  for (const name of given === undefined ? NAMES : [given]) {
    try {
      return koffi.load(name);
    } catch (error) {
      cause ??= error;
    }
  }
  const where = given === undefined ? 'is not installed' : `is not at TRAMP64_LIBUNICORN='${given}'`;
  throw absent(
    `libunicorn 2 ${where}; install it (Debian: apt-get install libunicorn2), or name its file in TRAMP64_LIBUNICORN`,
    cause,
  );
}

function bind(koffi: Koffi, library: ReturnType<Koffi['load']>, version: string): LibUnicorn {
  const native = (declaration: string): Native => library.func(declaration) as Native;
  const control = native('int uc_ctl(void *uc, int control, ...)');
  const describe = library.func('const char *uc_strerror(int error)') as (error: number) => string;
  const hookAdd = native(
    'int uc_hook_add(void *uc, _Out_ size_t *hook, int type, void *callback, void *data, uint64_t begin, uint64_t end, ...)',
  );
  // types of a process are named once, so a library that is loaded again finds them
  const types = Object.fromEntries(
    Object.entries(PROTOTYPES).map(([kind, text]) => [kind, koffi.pointer(koffi.proto(text))]),
  );
  return {
    version,
    open: native('int uc_open(int arch, int mode, _Out_ void **uc)'),
    close: native('int uc_close(void *uc)'),
    regRead: native('int uc_reg_read(void *uc, int register, void *value)'),
    regWrite: native('int uc_reg_write(void *uc, int register, const void *value)'),
    memMap: native('int uc_mem_map(void *uc, uint64_t address, size_t size, uint32_t access)'),
    memMapBytes: native('int uc_mem_map_ptr(void *uc, uint64_t address, size_t size, uint32_t access, void *bytes)'),
    memUnmap: native('int uc_mem_unmap(void *uc, uint64_t address, size_t size)'),
    memProtect: native('int uc_mem_protect(void *uc, uint64_t address, size_t size, uint32_t access)'),
    memRead: native('int uc_mem_read(void *uc, uint64_t address, void *bytes, size_t size)'),
    memWrite: native('int uc_mem_write(void *uc, uint64_t address, const void *bytes, size_t size)'),
    emuStart: native('int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)'),
    emuStop: native('int uc_emu_stop(void *uc)'),
    hookDel: native('int uc_hook_del(void *uc, size_t hook)'),
    hookAdd: (handle, hook, type, callback, begin, end) => hookAdd(handle, hook, type, callback, null, begin, end),
    removeCache: (handle, start, end) => control(handle, REMOVE_CACHE, 'uint64_t', start, 'uint64_t', end),
    describe: (error) => `${describe(error)} [${error}]`,
    callback: (kind, action) => koffi.register(action as (...values: unknown[]) => unknown, types[kind] ?? kind),
    release: (callback) => koffi.unregister(callback),
  };
}

function absent(fact: string, cause?: unknown): EngineError {
  return new EngineError('ENODEV', `engine 'unicorn-native': ${fact}`, {
    operation: 'create engine',
    ...(cause === undefined ? {} : { cause }),
  });
}
