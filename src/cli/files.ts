// Reading files for the command line, with errors that say what to do.
import { createReadStream } from 'node:fs';
import { access, constants, readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { ScenarioError, TrampolineError } from '../errors.ts';
import type { FileReader } from '../scenario/run.ts';

/** Larger files are refused before they are read; a vmlinux with debug information takes several hundred MiB. */
const MAX_FILE = 1 << 30;

/** A parsed document takes several times its size in memory. */
const MAX_JSON = 64 << 20;

/**
 * Reads a file.
 * @throws {TrampolineError} ENOENT no such file · EINVAL a folder, not readable, or too large
 */
export async function readInput(path: string): Promise<Uint8Array> {
  const operation = 'read';
  try {
    const about = await stat(path);
    // a pipe or a device has no size, and perhaps no end
    if (!about.isFile() && !about.isDirectory()) return await readStream(path);
    const { size } = about;
    if (size > MAX_FILE)
      throw new TrampolineError('EINVAL', `'${path}' has ${size} bytes, more than ${MAX_FILE}`, { operation });
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    if (cause instanceof TrampolineError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT')
      throw new TrampolineError('ENOENT', `no file '${path}'; check the path`, { operation, cause });
    throw new TrampolineError('EINVAL', `'${path}' cannot be read: ${code ?? String(cause)}`, { operation, cause });
  }
}

/**
 * Checks before the work that its result can be written.
 * @throws {TrampolineError} ENOENT its folder is missing · EINVAL a folder, or not writable
 */
export async function checkWritable(path: string, operation: string): Promise<void> {
  const folder = dirname(path);
  try {
    const about = await stat(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw cause;
    });
    if (about?.isDirectory() === true) {
      throw new TrampolineError('EINVAL', `'${path}' is a folder; name a file`, { operation });
    }
    await access(about === undefined ? folder : path, constants.W_OK);
  } catch (cause) {
    if (cause instanceof TrampolineError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') {
      throw new TrampolineError('ENOENT', `no folder '${folder}' for '${path}'; make it first`, { operation, cause });
    }
    throw new TrampolineError('EINVAL', `'${path}' cannot be written: ${code ?? String(cause)}`, { operation, cause });
  }
}

async function readStream(path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of createReadStream(path)) {
    const bytes = chunk as Uint8Array;
    size += bytes.length;
    if (size > MAX_JSON) {
      const fact = `'${path}' is no file and gives more than ${MAX_JSON} bytes`;
      throw new TrampolineError('EINVAL', fact, { operation: 'read' });
    }
    chunks.push(bytes);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Reads a JSON document.
 * @throws {TrampolineError} as `readInput`
 * @throws {ScenarioError} EINVAL too large, or no JSON
 */
export async function readJson(file: string, operation: string): Promise<unknown> {
  return parseJson(await readInput(file), file, operation);
}

/**
 * Parses the bytes of a JSON document.
 * @throws {ScenarioError} EINVAL too large, or no JSON
 */
export function parseJson(bytes: Uint8Array, file: string, operation: string): unknown {
  if (bytes.length > MAX_JSON) {
    throw new ScenarioError('EINVAL', `'${file}' has ${bytes.length} bytes, more than ${MAX_JSON}`, {
      operation,
      file,
    });
  }
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ScenarioError('EINVAL', `'${file}' is no JSON: ${String(cause)}`, { operation, file, cause });
  }
}

/** Reads what a scenario names, relative to the scenario. */
export const readBeside: FileReader = (path, from) =>
  readInput(isAbsolute(path) || from === undefined ? path : join(dirname(from), path));

/** True for an ELF file, by its magic. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}
