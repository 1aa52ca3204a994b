// Every error class of tramp64 and its codes; all of them carry a kernel-style errno.

/** Kernel errno numbers by name (asm-generic/errno-base.h, errno.h). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENOEXEC: 8,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  ENOSYS: 38,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ETIMEDOUT: 110,
  ENOTSUPP: 524,
} as const;

/** A name such as `'EBUSY'`. */
export type ErrnoName = keyof typeof ERRNO;

/** The name of an errno number (either sign), or undefined. */
export function errnoName(value: number): ErrnoName | undefined {
  const wanted = Math.abs(value);
  return (Object.keys(ERRNO) as ErrnoName[]).find((name) => ERRNO[name] === wanted);
}

/** What an error says besides its sentence. */
export interface ErrorOptions64 {
  /** What was being done: `enable`, `load`, `run` … */
  operation: string;
  /** The failure that led to this one. */
  cause?: unknown;
}

/**
 * The base of all errors. The message reads `operation: fact, with the subject quoted (CODE)`.
 */
export class TrampolineError extends Error {
  override readonly name: string = 'TrampolineError';
  /** Errno name, for programs. */
  readonly code: ErrnoName;
  /** The negative errno, as the kernel returns it: -16 for EBUSY. */
  readonly errno: number;
  /** What was being done. */
  readonly operation: string;

  constructor(code: ErrnoName, fact: string, options: ErrorOptions64) {
    super(
      `${options.operation}: ${fact} (${code})`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.errno = -ERRNO[code];
    this.operation = options.operation;
  }
}

/** A livepatch operation was refused; `patch` and `func` say which, `address` where a struct of the guest is wrong. */
export class PatchError extends TrampolineError {
  override readonly name: string = 'PatchError';
  readonly patch: string | undefined;
  readonly func: string | undefined;
  readonly address: bigint | undefined;

  constructor(
    code: ErrnoName,
    fact: string,
    options: ErrorOptions64 & { patch?: string; func?: string; address?: bigint },
  ) {
    super(code, fact, options);
    this.patch = options.patch;
    this.func = options.func;
    this.address = options.address;
  }
}

/** An ftrace site or ops was refused; `address` is the site. */
export class SiteError extends TrampolineError {
  override readonly name: string = 'SiteError';
  readonly address: bigint;

  constructor(code: ErrnoName, fact: string, options: ErrorOptions64 & { address: bigint }) {
    super(code, fact, options);
    this.address = options.address;
  }
}

/** Bytes that are not what they should be; `offset` is the first wrong one, `rule` the check (C1 …). */
export class TrampolineBytesError extends TrampolineError {
  override readonly name: string = 'TrampolineBytesError';
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly rule: string | undefined;

  constructor(
    code: ErrnoName,
    fact: string,
    options: ErrorOptions64 & { offset: number; bytes: Uint8Array; rule?: string },
  ) {
    super(code, fact, options);
    this.offset = options.offset;
    this.bytes = options.bytes;
    this.rule = options.rule;
  }
}

/** An object file that cannot be loaded; `section` and `offset` (bytes into the file) say where. */
export class ImageError extends TrampolineError {
  override readonly name: string = 'ImageError';
  readonly image: string | undefined;
  readonly section: string | undefined;
  readonly offset: number | undefined;

  constructor(
    code: ErrnoName,
    fact: string,
    options: ErrorOptions64 & { image?: string; section?: string; offset?: number },
  ) {
    super(code, fact, options);
    this.image = options.image;
    this.section = options.section;
    this.offset = options.offset;
  }
}

/** A scenario or case file that is wrong; `jsonPath` points into it (`$.steps[3].call`). */
export class ScenarioError extends TrampolineError {
  override readonly name: string = 'ScenarioError';
  readonly file: string | undefined;
  readonly jsonPath: string | undefined;

  constructor(code: ErrnoName, fact: string, options: ErrorOptions64 & { file?: string; jsonPath?: string }) {
    super(code, fact, options);
    this.file = options.file;
    this.jsonPath = options.jsonPath;
  }
}

/** The CPU failed: a guest fault, a spent budget, or the emulator's own error (`engineCode`). */
export class EngineError extends TrampolineError {
  override readonly name: string = 'EngineError';
  /** The emulator's own code or text, where it gave one. */
  readonly engineCode: string | number | undefined;
  /** Where the guest stood, where that is known. */
  readonly rip: bigint | undefined;

  constructor(code: ErrnoName, fact: string, options: ErrorOptions64 & { engineCode?: string | number; rip?: bigint }) {
    super(code, fact, options);
    this.engineCode = options.engineCode;
    this.rip = options.rip;
  }
}
