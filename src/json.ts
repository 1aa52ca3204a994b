// A JSON value together with its place in the file, so that every complaint names a JSON path.
import { bytesOfHex } from './address.ts';
import { type ErrnoName, ScenarioError } from './errors.ts';

const INTEGER = /^-?(?:0x[0-9a-f]{1,16}|[0-9]{1,20})$/i;
const SMALLEST = -(1n << 63n);
const LARGEST = (1n << 64n) - 1n;

/** One value of a file that a user wrote. The readers throw ScenarioError EINVAL where the value has another type. */
export class JsonNode {
  readonly value: unknown;
  /** `$.steps[3].call`. */
  readonly path: string;
  readonly file: string | undefined;
  readonly #operation: string;

  /** @param operation what is being read, for messages */
  constructor(value: unknown, path = '$', file?: string, operation = 'scenario') {
    this.value = value;
    this.path = path;
    this.file = file;
    this.#operation = operation;
  }

  /** An error at this place. */
  error(code: ErrnoName, fact: string, cause?: unknown): ScenarioError {
    const where = this.file === undefined ? this.path : `${this.file}: ${this.path}`;
    return new ScenarioError(code, `${where}: ${fact}`, {
      operation: this.#operation,
      jsonPath: this.path,
      ...(this.file === undefined ? {} : { file: this.file }),
      ...(cause === undefined ? {} : { cause }),
    });
  }

  /**
   * Checks that this is an object with no other keys than these.
   * @throws {ScenarioError} EINVAL another type, an unknown key
   */
  keys(allowed: readonly string[]): void {
    for (const key of Object.keys(this.#record())) {
      if (allowed.includes(key)) continue;
      throw this.#child(key).error('EINVAL', `unknown key '${key}'; allowed are ${allowed.join(', ')}`);
    }
  }

  /** The keys of this object, in file order. */
  keyNames(): string[] {
    return Object.keys(this.#record());
  }

  /** A member of this object, or undefined where the key is absent. */
  get(key: string): JsonNode | undefined {
    return Object.hasOwn(this.#record(), key) ? this.#child(key) : undefined;
  }

  /** A member that must be there. */
  need(key: string): JsonNode {
    const found = this.get(key);
    if (found === undefined) throw this.error('EINVAL', `the key '${key}' is missing`);
    return found;
  }

  array(): JsonNode[] {
    if (!Array.isArray(this.value)) throw this.#wrong('an array');
    return this.value.map((one, i) => new JsonNode(one, `${this.path}[${i}]`, this.file, this.#operation));
  }

  /** The members of this object by key. */
  entries(): [string, JsonNode][] {
    return this.keyNames().map((key) => [key, this.#child(key)]);
  }

  isObject(): boolean {
    return typeof this.value === 'object' && this.value !== null && !Array.isArray(this.value);
  }

  string(): string {
    if (typeof this.value !== 'string') throw this.#wrong('a string');
    return this.value;
  }

  /** A string that is not empty. */
  name(): string {
    const text = this.string();
    if (text === '') throw this.error('EINVAL', 'expected a name, got an empty string');
    return text;
  }

  boolean(): boolean {
    if (typeof this.value !== 'boolean') throw this.#wrong('true or false');
    return this.value;
  }

  /** An integer of 64 bits, signed or unsigned: a JSON number, or a decimal or 0x string. */
  integer(): bigint {
    const { value } = this;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
    if (typeof value === 'number' && Number.isInteger(value)) {
      throw this.error('EINVAL', `${value} is not exact as a JSON number; write it as a string`);
    }
    if (typeof value !== 'string' || !INTEGER.test(value))
      throw this.#wrong('an integer (number, decimal or 0x string)');
    const parsed = value.startsWith('-') ? -BigInt(value.slice(1)) : BigInt(value);
    if (parsed < SMALLEST || parsed > LARGEST) throw this.error('EINVAL', `${value} does not fit in 64 bits`);
    return parsed;
  }

  /** Any number. */
  number(): number {
    if (typeof this.value !== 'number') throw this.#wrong('a number');
    return this.value;
  }

  /** An integer between two bounds. */
  count(least: number, most: number): number {
    const value = this.integer();
    if (value < BigInt(least) || value > BigInt(most)) {
      throw this.error('EINVAL', `expected ${least} to ${most}, got ${value}`);
    }
    return Number(value);
  }

  /** One of some strings. */
  oneOf<T extends string>(choices: readonly T[]): T {
    const text = this.string();
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw this.error('EINVAL', `expected ${choices.map((one) => `'${one}'`).join(' or ')}, got '${text}'`);
  }

  /** Bytes as hex digits. */
  hex(): Uint8Array {
    try {
      return bytesOfHex(this.string());
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw this.error('EINVAL', cause.message, cause);
    }
  }

  #record(): Record<string, unknown> {
    if (!this.isObject()) throw this.#wrong('an object');
    return this.value as Record<string, unknown>;
  }

  #child(key: string): JsonNode {
    const step = /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    return new JsonNode(this.#record()[key], this.path + step, this.file, this.#operation);
  }

  #wrong(wanted: string): ScenarioError {
    return this.error('EINVAL', `expected ${wanted}, got ${describe(this.value)}`);
  }
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
