// Proves that two pieces of code do the same work by walking both at once, instruction by instruction.
import { hex } from '../address.ts';
import type { Facts, MemoryOperand } from '../x86/operands.ts';
import type { CodeSpace } from './space.ts';

/** The bytes a patch lies on: reaching them, or reading them as data, is where two sides may part. */
export interface PatchedRange {
  readonly address: bigint;
  readonly length: number;
}

/** What is to be proved. */
export interface StreamQuestion {
  readonly original: CodeSpace;
  readonly moved: CodeSpace;
  readonly from: bigint;
  readonly to: bigint;
  /** One past the last byte on each side: running off both ends at once is the same exit. */
  readonly fromEnd: bigint;
  readonly toEnd: bigint;
  readonly patched?: PatchedRange;
  /** Bytes that the tool was asked to put before an instruction of the original. */
  readonly inserted?: { readonly before: bigint; readonly bytes: Uint8Array };
}

/** `same` is a proof, `different` too; `unknown` says where the walk lost the thread. */
export interface StreamAnswer {
  readonly answer: 'same' | 'different' | 'unknown';
  readonly why: string;
  /** The check that was broken (C4, C9 …). */
  readonly rule?: string;
  readonly at?: Facts;
  /** Registers that the moved code spoils and the original leaves alone (C17). */
  readonly spoiled: readonly string[];
  /** Remarks that change no verdict: checks C5, C11, C16. */
  readonly notes: readonly { readonly rule: string; readonly text: string; readonly at: bigint }[];
  /** An indirect jump was met, so branches into the patch cannot be excluded (C5). */
  readonly indirect: boolean;
}

/** Registers of the moved side that hold a known constant where the original holds its own value. */
type Constants = ReadonlyMap<string, bigint>;

const MAX_PAIRS = 4000;
const MAX_HOPS = 64;

const INVERSE: Readonly<Record<string, string>> = Object.fromEntries(
  'jo jno,jb jae,je jne,jbe ja,js jns,jp jnp,jl jge,jle jg'.split(',').flatMap((pair) => {
    const [a = '', b = ''] = pair.split(' ');
    return [
      [a, b],
      [b, a],
    ];
  }),
);

class Parted extends Error {
  readonly answer: 'different' | 'unknown';
  readonly rule: string | undefined;
  readonly at: Facts | undefined;

  constructor(answer: 'different' | 'unknown', why: string, rule?: string, at?: Facts) {
    super(why);
    this.answer = answer;
    this.rule = rule;
    this.at = at;
  }
}

/** Walks both sides from their starts until every path has ended or come back to a pair already seen. */
export function sameStream(question: StreamQuestion): StreamAnswer {
  const walk = new Walk(question);
  try {
    walk.run();
    return { answer: 'same', why: 'both sides do the same work, instruction by instruction', ...walk.remarks() };
  } catch (error) {
    if (!(error instanceof Parted)) throw error;
    return {
      answer: error.answer,
      why: error.message,
      ...(error.rule === undefined ? {} : { rule: error.rule }),
      ...(error.at === undefined ? {} : { at: error.at }),
      ...walk.remarks(),
    };
  }
}

class Walk {
  readonly #q: StreamQuestion;
  readonly #todo: { a: bigint; b: bigint; constants: Constants }[] = [];
  readonly #seen = new Set<string>();
  /** Original address → moved address of the same instruction. */
  readonly #places = new Map<bigint, bigint>();
  readonly #references: { a: bigint; b: bigint; at: Facts }[] = [];
  readonly #spoiled = new Set<string>();
  /** Where the moved code ends before its end, and where its table of pointers starts. */
  readonly #ends: bigint[] = [];
  #pool: bigint | undefined;
  readonly #notes: { rule: string; text: string; at: bigint }[] = [];
  #indirect = false;

  constructor(question: StreamQuestion) {
    this.#q = question;
  }

  remarks(): Pick<StreamAnswer, 'spoiled' | 'notes' | 'indirect'> {
    return { spoiled: [...this.#spoiled], notes: this.#notes, indirect: this.#indirect };
  }

  run(): void {
    this.#pair(this.#q.from, this.#q.to, new Map());
    for (let next = this.#todo.pop(); next !== undefined; next = this.#todo.pop()) {
      if (this.#seen.size > MAX_PAIRS) throw new Parted('unknown', `more than ${MAX_PAIRS} places to compare`);
      this.#step(next.a, next.b, next.constants);
    }
    for (const end of this.#ends) {
      if (this.#pool === undefined || end > this.#pool || this.#pool - end >= 8n) {
        throw new Parted(
          'different',
          `goes on at ${hex(end)} where the original has ended`,
          'C9',
          this.#q.moved.at(end),
        );
      }
    }
    for (const { a, b, at } of this.#references) {
      // code of the block that is read as data moves with the block
      if (this.#places.get(a) !== b) {
        throw new Parted('different', `names ${hex(b)} where the original names ${hex(a)}`, 'C10', at);
      }
      this.#note('C11', `reads its own block at ${hex(a)} as data`, at.ip);
    }
  }

  #note(rule: string, text: string, at: bigint): void {
    if (!this.#notes.some((note) => note.rule === rule && note.at === at)) this.#notes.push({ rule, text, at });
  }

  #pair(a: bigint, b: bigint, constants: Constants): void {
    const key = `${a} ${b} ${[...constants].map(([name, value]) => `${name}=${value}`).join()}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#todo.push({ a, b, constants });
  }

  #step(startA: bigint, startB: bigint, start: Constants): void {
    const a = this.#follow(startA, this.#q.original, new Map());
    if (!this.#places.has(startA)) this.#places.set(startA, startB);
    let b = this.#follow(startB, this.#q.moved, start, startA);
    let constants = start;
    if (!this.#places.has(a)) this.#places.set(a, b);
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      this.#arrive(a, b);
      const left = this.#q.original.at(a);
      const right = this.#q.moved.at(b);
      if (this.#exits(a, b, left, right, constants)) return;
      // nothing is known of the original any more: all that may still come is a jump through a constant
      const leaving = left === undefined && right?.constant !== undefined;
      if (!leaving && a === this.#q.fromEnd && this.#endsAt(b)) return;
      if (right === undefined || (left === undefined && !leaving)) {
        throw new Parted('different', `goes to ${hex(b)} where the original goes to ${hex(a)}`, 'C9', left ?? right);
      }
      if (left !== undefined && this.#match(left, right, constants)) return;
      const skipped = this.#skip(a, right, constants);
      if (skipped === undefined) throw this.#mismatch(left, right);
      constants = skipped;
      b = this.#follow(right.ip + BigInt(right.length), this.#q.moved, constants, a);
    }
    throw new Parted('unknown', 'the moved code does too much on its own');
  }

  /** Follows NOPs, direct jumps, and jumps through constants that are part of the code. */
  #follow(from: bigint, space: CodeSpace, constants: Constants, original?: bigint): bigint {
    let ip = from;
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      if (original !== undefined) this.#arrive(original, ip);
      const facts = space.at(ip);
      if (facts === undefined) return ip;
      if (facts.isNop) ip = BigInt.asUintN(64, ip + BigInt(facts.length));
      else if (facts.kind === 'jump' && facts.target !== undefined) ip = facts.target;
      else if (facts.kind === 'indirect-jump' && space === this.#q.moved) {
        const target = this.#constantTarget(facts, constants);
        if (target === undefined) return ip;
        ip = target;
      } else return ip;
    }
    return from;
  }

  #constantTarget(facts: Facts, constants: Constants): bigint | undefined {
    if (facts.memory === undefined) return constants.get([...facts.reads][0] ?? '');
    if (facts.memory.address === undefined || this.#inOriginal(facts.memory.address)) return undefined;
    const pool = facts.memory.address;
    if (this.#pool === undefined || pool < this.#pool) this.#pool = pool;
    return this.#q.moved.pointer(pool);
  }

  /** The original ran off its end; so may the moved code, right before the pointers that it jumps through. */
  #endsAt(b: bigint): boolean {
    if (b < this.#q.to || b >= this.#q.toEnd) return false;
    this.#ends.push(b);
    return true;
  }

  #inOriginal(address: bigint): boolean {
    return address >= this.#q.from && address < this.#q.fromEnd;
  }

  #inPatch(address: bigint): boolean {
    const patched = this.#q.patched;
    return patched !== undefined && address >= patched.address && address < patched.address + BigInt(patched.length);
  }

  /** C4: the moved side must not come to the bytes that the patch overwrote. */
  #arrive(a: bigint, b: bigint): void {
    const patched = this.#q.patched;
    if (patched === undefined || !this.#inPatch(b)) return;
    const offset = b - patched.address;
    const what = offset === 0n ? 're-enters the hook' : `runs into the overwritten bytes at +${offset}`;
    throw new Parted('different', `${what} where the original goes to ${hex(a)}`, 'C4', this.#q.original.at(a));
  }

  /** Whether both sides leave the known code at the same place. */
  #exits(a: bigint, b: bigint, left: Facts | undefined, right: Facts | undefined, constants: Constants): boolean {
    const done = (): true => {
      for (const name of constants.keys()) this.#spoiled.add(name);
      return true;
    };
    if (left === undefined && (b === a || (a === this.#q.fromEnd && b === this.#q.toEnd))) return done();
    if (a === this.#q.fromEnd && b === this.#q.toEnd) return done();
    // the original is still in place: from here on both sides are one
    if (a === b && constants.size === 0 && this.#q.patched === undefined) return done();
    // both run into data together: whatever it does, they do it alike
    if (a === b && left?.kind === 'invalid' && right?.kind === 'invalid') return done();
    return false;
  }

  #match(left: Facts, right: Facts, constants: Constants): boolean {
    if (this.#matchThunk(left, right, constants)) return true;
    if (left.constant !== undefined && right.constant !== undefined) return this.#matchConstant(left, right, constants);
    if (left.kind === 'conditional' && right.kind === 'conditional') return this.#matchBranch(left, right, constants);
    if (left.kind === 'call') return this.#matchCall(left, right, constants);
    if (left.key !== right.key) return this.#matchSubstituted(left, right, constants);
    this.#sameOperands(left, right, constants);
    this.#advance(left, right, constants);
    return true;
  }

  #matchBranch(left: Facts, right: Facts, constants: Constants): boolean {
    const inverted = INVERSE[left.mnemonic] === right.mnemonic;
    if (!inverted && left.key !== right.key) return false;
    if (left.target === undefined || right.target === undefined) return false;
    const nextA = left.ip + BigInt(left.length);
    const nextB = right.ip + BigInt(right.length);
    this.#readsOnly(left, constants);
    this.#pair(left.target, inverted ? nextB : right.target, constants);
    this.#pair(nextA, inverted ? right.target : nextB, constants);
    return true;
  }

  #matchConstant(left: Facts, right: Facts, constants: Constants): boolean {
    if (left.constant?.register !== right.constant?.register) return false;
    const a = left.constant?.value ?? 0n;
    const b = right.constant?.value ?? 0n;
    if (a !== b) {
      if (right.mnemonic === 'mov' && left.mnemonic === 'mov') return false;
      // an address of the block itself moves with the block
      if (left.mnemonic !== 'lea' || !this.#inOriginal(a)) {
        throw new Parted('different', `loads ${hex(b)} where the original loads ${hex(a)}`, 'C10', left);
      }
      this.#references.push({ a, b, at: left });
    }
    if (this.#inPatch(a))
      throw new Parted('unknown', `takes the address of the overwritten bytes, ${hex(a)}`, 'C11', left);
    this.#advance(left, right, constants);
    return true;
  }

  /** C16: `call get_pc_thunk` and `call +0; pop` load the address after the call, which a moved block loads as such. */
  #matchThunk(left: Facts, right: Facts, constants: Constants): boolean {
    if (left.kind !== 'call' || left.target === undefined || right.constant === undefined) return false;
    const after = left.ip + BigInt(left.length);
    const first = this.#q.original.at(left.target);
    if (first === undefined) return false;
    const pop = left.target === after && first.mnemonic === 'pop' && first.memory === undefined;
    const second = this.#q.original.at(first.ip + BigInt(first.length));
    const base = first.memory?.base ?? '';
    const thunk =
      first.mnemonic === 'mov' &&
      (base === 'ESP' || base === 'RSP') &&
      first.readsMemory &&
      first.memory?.displacement === 0n &&
      second?.kind === 'return';
    if (!pop && !thunk) return false;
    const register = [...first.writes].find((name) => !name.endsWith('SP'));
    if (register !== right.constant.register) return false;
    if (right.constant.value !== after) {
      throw new Parted(
        'different',
        `loads ${hex(right.constant.value)}, not the return address ${hex(after)}`,
        'C16',
        left,
      );
    }
    const rest = pop ? first.ip + BigInt(first.length) : after;
    this.#pair(rest, right.ip + BigInt(right.length), constants);
    return true;
  }

  #matchCall(left: Facts, right: Facts, constants: Constants): boolean {
    if (left.target === undefined) return this.#entersSystem(left, right, constants);
    let target = right.kind === 'call' ? right.target : undefined;
    if (right.kind === 'indirect-call') target = this.#constantTarget(right, constants);
    if (target === undefined) return false;
    const inside = this.#inOriginal(left.target);
    if (target !== left.target && !(inside && this.#q.patched === undefined)) {
      throw new Parted('different', `calls ${hex(target)} where the original calls ${hex(left.target)}`, 'C9', left);
    }
    if (inside && this.#q.patched !== undefined) {
      throw new Parted('unknown', 'the function called can see its return address', 'C16', left);
    }
    this.#note('C16', 'the return address of this call lies in the moved code', left.ip);
    const nextA = left.ip + BigInt(left.length);
    const nextB = right.ip + BigInt(right.length);
    if (inside && target !== left.target) this.#pair(left.target, target, constants);
    // MinHook's form steps over its pointer: call [rip+2]; jmp over 8 bytes
    for (const name of constants.keys()) this.#spoiled.add(name);
    this.#pair(nextA, nextB, new Map());
    return true;
  }

  /** `syscall` and its like count as calls without a target: what answers is not known, but from one place it is the same. */
  #entersSystem(left: Facts, right: Facts, constants: Constants): boolean {
    if (left.code !== right.code) return false;
    if (left.ip === right.ip && constants.size === 0) {
      this.#advance(left, right, constants);
      return true;
    }
    const seen = left.mnemonic === 'syscall' ? ', with the address of its own next instruction in rcx' : '';
    throw new Parted('unknown', `"${left.mnemonic}" goes to the system, which no run can follow${seen}`, 'C16', left);
  }

  /** The same work with the memory operand or the jump's target taken from a constant in a register. */
  #matchSubstituted(left: Facts, right: Facts, constants: Constants): boolean {
    if (left.code !== right.code || left.key !== right.key) return false;
    this.#advance(left, right, constants);
    return true;
  }

  #sameOperands(left: Facts, right: Facts, constants: Constants): void {
    const a = left.memory;
    const b = substitute(right.memory, constants);
    if (a?.address !== undefined && this.#inPatch(a.address)) {
      throw new Parted('unknown', `its data lies in the overwritten bytes, ${hex(a.address)}`, 'C11', left);
    }
    if (a !== undefined && b !== undefined && !sameMemory(a, b)) {
      if (a.address !== undefined && b.address !== undefined && this.#inOriginal(a.address)) {
        this.#references.push({ a: a.address, b: b.address, at: left });
      } else {
        throw new Parted('different', `accesses ${show(b)} where the original accesses ${show(a)}`, 'C10', left);
      }
    }
    if (left.target !== undefined && right.target !== undefined) {
      if (left.mnemonic === 'xbegin' && left.target !== right.target && !this.#inOriginal(left.target)) {
        const why = `aborts to ${hex(right.target)} where the original aborts to ${hex(left.target)}`;
        throw new Parted('different', why, 'C15', left);
      }
      this.#pair(left.target, right.target, constants);
    }
    const base = right.memory?.base ?? '';
    for (const name of constants.keys()) {
      if (!left.reads.has(name)) continue;
      const why = `${name.toLowerCase()} serves as scratch, but the instruction reads it`;
      throw new Parted(base === name ? 'different' : 'different', why, 'C17', left);
    }
  }

  #readsOnly(left: Facts, constants: Constants): void {
    for (const name of constants.keys()) {
      if (left.reads.has(name))
        throw new Parted('different', `reads ${name.toLowerCase()}, which is spoiled`, 'C17', left);
    }
  }

  #advance(left: Facts, right: Facts, constants: Constants): void {
    if (left.kind === 'indirect-jump' || left.kind === 'indirect-call') this.#indirect = true;
    if (
      left.kind === 'indirect-jump' ||
      left.kind === 'return' ||
      left.kind === 'exception' ||
      left.kind === 'invalid'
    ) {
      for (const name of constants.keys()) this.#spoiled.add(name);
      return;
    }
    const rest = new Map(constants);
    for (const name of left.writes) rest.delete(name);
    this.#pair(left.ip + BigInt(left.length), right.ip + BigInt(right.length), rest);
  }

  /** An instruction that only the moved side has: a constant into a scratch register, or what was asked to be inserted. */
  #skip(a: bigint, right: Facts, constants: Constants): Constants | undefined {
    if (right.constant !== undefined) return new Map([...constants, [right.constant.register, right.constant.value]]);
    const inserted = this.#q.inserted;
    if (inserted === undefined || inserted.before !== a || inserted.bytes.length !== right.length) return undefined;
    return right.bytes.every((byte, i) => byte === inserted.bytes[i]) ? constants : undefined;
  }

  #mismatch(left: Facts | undefined, right: Facts): Parted {
    if (left === undefined)
      return new Parted('unknown', `"${right.mnemonic}" stands where the original has ended`, undefined, right);
    const spoiled = [...right.writes].find((name) => name.startsWith('MM') && !left.writes.has(name));
    if (spoiled !== undefined && left.kind === 'conditional') {
      // a branch writes no register, and nothing that follows could give back what mm0 to mm7 held
      const why = `"${right.mnemonic}" changes ${spoiled.toLowerCase()} where the original has "${left.mnemonic}"`;
      return new Parted('different', why, 'C13', left);
    }
    if (left.code === right.code && left.memory?.segment !== right.memory?.segment) {
      return new Parted(
        'unknown',
        `accesses ${show(right.memory)} where the original accesses ${show(left.memory)}`,
        'C10',
        left,
      );
    }
    const relative = left.kind === 'conditional' && right.kind !== 'conditional';
    const rule = left.code === right.code ? 'C9' : relative ? 'C13' : undefined;
    return new Parted('unknown', `"${right.mnemonic}" stands where the original has "${left.mnemonic}"`, rule, left);
  }
}

function substitute(memory: MemoryOperand | undefined, constants: Constants): MemoryOperand | undefined {
  if (memory === undefined || memory.index !== 'None') return memory;
  const base = constants.get(memory.base);
  return base === undefined ? memory : { ...memory, address: BigInt.asUintN(64, base + memory.displacement) };
}

function sameMemory(a: MemoryOperand, b: MemoryOperand): boolean {
  if (a.address !== undefined || b.address !== undefined) return a.address === b.address;
  return a.base === b.base && a.index === b.index && a.scale === b.scale && a.displacement === b.displacement;
}

function show(memory: MemoryOperand | undefined): string {
  if (memory === undefined) return 'no memory';
  const segment = memory.segment === undefined ? '' : `${memory.segment}:`;
  if (memory.address !== undefined) return `${segment}${hex(memory.address)}`;
  return `${segment}[${memory.base}+${memory.index}*${memory.scale}+${hex(memory.displacement)}]`.toLowerCase();
}
