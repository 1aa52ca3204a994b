// Runs call frame instructions up to an address and gives the row that holds there (DWARF 5, 6.4.2 and 6.4.3).
import { wrap } from '../../address.ts';
import type { Cursor } from './cursor.ts';
import { type CfaRule, COLUMNS, type RegisterRule } from './frame-row.ts';

/** What the instructions of a CIE and its FDEs share. */
export interface ProgramContext {
  readonly codeAlign: bigint;
  readonly dataAlign: bigint;
  readonly pointerEncoding: number;
}

/** States that may be remembered at once; compilers nest them once or twice. */
const MOST_REMEMBERED = 64;
/** Registers that exist are below; vector registers and the like are of no interest here. */
const MOST_REGISTERS = 256n;

interface State {
  cfa: CfaRule | undefined;
  rules: (RegisterRule | undefined)[];
}

/** The table's state while instructions are run. */
export class CfaProgram {
  readonly #context: ProgramContext;
  #state: State = { cfa: undefined, rules: [] };
  #initial: State | undefined;
  readonly #remembered: State[] = [];

  constructor(context: ProgramContext) {
    this.#context = context;
  }

  get cfa(): CfaRule | undefined {
    return this.#state.cfa;
  }

  get rules(): readonly (RegisterRule | undefined)[] {
    return this.#state.rules;
  }

  /** Runs a CIE's instructions; DW_CFA_restore goes back to what they leave. @throws {ImageError} ENOEXEC malformed */
  initialize(instructions: Cursor): void {
    this.run(instructions, 0n, 0n);
    this.#initial = copy(this.#state);
  }

  /**
   * Runs instructions until one moves past `ip`.
   * @param start the address where they begin
   * @throws {ImageError} ENOEXEC malformed, or an instruction that is not known
   */
  run(code: Cursor, start: bigint, ip: bigint): void {
    let location = start;
    while (code.left > 0) {
      const byte = code.u8();
      const low = byte & 0x3f;
      switch (byte & 0xc0) {
        case 0x40: // DW_CFA_advance_loc
          location = this.#advance(location, BigInt(low));
          break;
        case 0x80: // DW_CFA_offset
          this.#set(low, { kind: 'offset', offset: this.#data(code.uleb()) });
          break;
        case 0xc0: // DW_CFA_restore
          this.#restore(low, code);
          break;
        default:
          location = this.#extended(low, code, location);
      }
      if (location > ip) return;
    }
  }

  /** The instructions whose high two bits are 0; the address after it. */
  #extended(opcode: number, code: Cursor, location: bigint): bigint {
    switch (opcode) {
      case 0x00: // DW_CFA_nop
        return location;
      case 0x01: // DW_CFA_set_loc
        return code.pointer(this.#context.pointerEncoding);
      case 0x02: // DW_CFA_advance_loc1
        return this.#advance(location, code.fixed(1, false));
      case 0x03: // DW_CFA_advance_loc2
        return this.#advance(location, code.fixed(2, false));
      case 0x04: // DW_CFA_advance_loc4
        return this.#advance(location, code.fixed(4, false));
      case 0x05: // DW_CFA_offset_extended
        this.#set(register(code), { kind: 'offset', offset: this.#data(code.uleb()) });
        return location;
      case 0x06: // DW_CFA_restore_extended
        this.#restore(register(code), code);
        return location;
      case 0x07: // DW_CFA_undefined
        this.#set(register(code), { kind: 'undefined' });
        return location;
      case 0x08: // DW_CFA_same_value
        this.#set(register(code), { kind: 'same' });
        return location;
      case 0x09: // DW_CFA_register
        this.#set(register(code), { kind: 'register', register: register(code) });
        return location;
      case 0x0a: // DW_CFA_remember_state
        if (this.#remembered.length >= MOST_REMEMBERED) throw code.error('too many states are remembered');
        this.#remembered.push(copy(this.#state));
        return location;
      case 0x0b: // DW_CFA_restore_state
        this.#state = this.#remembered.pop() ?? fail(code, 'no state is remembered');
        return location;
      case 0x0c: // DW_CFA_def_cfa
        this.#state.cfa = { kind: 'register', register: register(code), offset: code.uleb() };
        return location;
      case 0x0d: // DW_CFA_def_cfa_register
        this.#state.cfa = { ...this.#registerCfa(code), register: register(code) };
        return location;
      case 0x0e: // DW_CFA_def_cfa_offset
        this.#state.cfa = { ...this.#registerCfa(code), offset: code.uleb() };
        return location;
      case 0x0f: // DW_CFA_def_cfa_expression
        this.#state.cfa = { kind: 'expression', expression: code.slice(code.length()) };
        return location;
      case 0x10: // DW_CFA_expression
        this.#set(register(code), { kind: 'expression', expression: code.slice(code.length()) });
        return location;
      case 0x11: // DW_CFA_offset_extended_sf
        this.#set(register(code), { kind: 'offset', offset: this.#data(code.sleb()) });
        return location;
      case 0x12: // DW_CFA_def_cfa_sf
        this.#state.cfa = { kind: 'register', register: register(code), offset: this.#data(code.sleb()) };
        return location;
      case 0x13: // DW_CFA_def_cfa_offset_sf
        this.#state.cfa = { ...this.#registerCfa(code), offset: this.#data(code.sleb()) };
        return location;
      case 0x14: // DW_CFA_val_offset
        this.#set(register(code), { kind: 'value-offset', offset: this.#data(code.uleb()) });
        return location;
      case 0x15: // DW_CFA_val_offset_sf
        this.#set(register(code), { kind: 'value-offset', offset: this.#data(code.sleb()) });
        return location;
      case 0x16: // DW_CFA_val_expression
        this.#set(register(code), { kind: 'value-expression', expression: code.slice(code.length()) });
        return location;
      case 0x2e: // DW_CFA_GNU_args_size: for exceptions alone
        code.uleb();
        return location;
      case 0x2f: // DW_CFA_GNU_negative_offset_extended
        this.#set(register(code), { kind: 'offset', offset: -this.#data(code.uleb()) });
        return location;
      default:
        return fail(code, `the call frame instruction 0x${opcode.toString(16)} is not known`);
    }
  }

  #advance(location: bigint, delta: bigint): bigint {
    return wrap(location + delta * this.#context.codeAlign);
  }

  #data(factored: bigint): bigint {
    return factored * this.#context.dataAlign;
  }

  #set(column: number, rule: RegisterRule): void {
    if (column < COLUMNS) this.#state.rules[column] = rule;
  }

  #restore(column: number, code: Cursor): void {
    if (this.#initial === undefined) throw code.error('a CIE cannot restore what itself sets');
    if (column < COLUMNS) this.#state.rules[column] = this.#initial.rules[column];
  }

  #registerCfa(code: Cursor): Extract<CfaRule, { kind: 'register' }> {
    const { cfa } = this.#state;
    return cfa?.kind === 'register' ? cfa : fail(code, 'the frame address is no register with an offset');
  }
}

function copy({ cfa, rules }: State): State {
  return { cfa, rules: [...rules] };
}

function register(code: Cursor): number {
  const number = code.uleb();
  return number < MOST_REGISTERS ? Number(number) : fail(code, `there is no register ${number}`);
}

function fail(code: Cursor, fact: string): never {
  throw code.error(fact);
}
