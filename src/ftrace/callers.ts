// ftrace_caller and ftrace_regs_caller in guest memory: what sites call that have several users, and what they call.
import type { Engine } from '../engine/engine.ts';
import type { FrameRow } from '../image/unwind/frame-row.ts';
import type { Instruction } from '../x86/encode.ts';
import {
  add,
  assemble,
  call,
  callReg,
  int3,
  jmp,
  jmpShort,
  jzShort,
  label,
  lea,
  mem,
  mov,
  movImm32,
  ret,
  sub,
  test,
} from '../x86/encode.ts';
import type { Range } from './ranges.ts';
import { callBytes } from './site.ts';
import { commonCaller, HANDLER_CALL, type KernelVersion, type TrampolineKind } from './trampoline.ts';
import { frameRows } from './trampoline-frames.ts';

/** What the callers are made with. */
export interface CallersParts {
  engine: Engine;
  kernel: KernelVersion;
  /** Where they go: `CALLERS_SIZE` mapped bytes within rel32 reach of every site. */
  address: bigint;
  returnThunk: bigint;
}

/** Bytes that the callers and what belongs to them need. */
export const CALLERS_SIZE = 0x1000n;

/** function_trace_op, and room to the next unit of 16 bytes. */
const VARIABLES = 16n;

/** A routine that is served by the host: never executed, so any return will do. */
const SERVED: readonly Instruction[] = [ret(), ...Array.from({ length: 15 }, int3)];

/** The two callers of one guest, and the list func for which the host walks the list. */
export class FtraceCallers {
  readonly #engine: Engine;
  /** Addresses of the two instructions that call the handler. */
  readonly #calls: readonly bigint[];
  readonly #helpers: Range;
  #func: bigint;
  /** The callers by the registers they save. */
  readonly caller: Readonly<Record<TrampolineKind, bigint>>;
  /** All that is called as a trampoline. */
  readonly range: Range;
  /** Does nothing: what the callers call while nobody traces. */
  readonly stub: bigint;
  /** The list func that asks `listNext` for each ops. */
  readonly hostListFunc: bigint;
  /** How the caller is found from each instruction of the stub and of what follows, by offset from the stub. */
  readonly helperRows: ReadonlyMap<number, FrameRow>;
  /** Served by the host; see `HostOpsList`. */
  readonly listNext: bigint;

  /** @param from those of the machine that this one is a fork of, at the same place: nothing is written then */
  constructor({ engine, kernel, address, returnThunk }: CallersParts, from?: FtraceCallers) {
    const write = (at: bigint, bytes: Uint8Array): void => {
      if (from === undefined) engine.write(at, bytes);
    };
    const code = [
      label('ftrace_stub'),
      jmp(returnThunk),
      ...Array.from({ length: 11 }, int3),
      label('list_next'),
      ...SERVED,
      label('list'),
      ...listFunc('list_next', returnThunk),
    ];
    const stub = address + VARIABLES;
    const helpers = assemble(stub, code);
    const at = (name: string): bigint => stub + BigInt(helpers.labels.get(name) ?? 0);
    write(address, new Uint8Array(Number(VARIABLES)));
    write(stub, helpers.bytes);
    this.helperRows = frameRows(code);
    const calls: bigint[] = [];
    const place = (kind: TrampolineKind, start: bigint): bigint => {
      const spec = { kind, kernel, address: start, handler: at('ftrace_stub'), functionTraceOp: address, returnThunk };
      const { bytes, labels } = commonCaller(spec);
      write(start, bytes);
      calls.push(start + BigInt(labels.get(HANDLER_CALL) ?? 0));
      return start + BigInt(bytes.length);
    };
    const args = address + 0x100n;
    const regs = aligned(place('args', args));
    this.range = { start: args, end: place('regs', regs) };
    this.#engine = engine;
    this.#calls = calls;
    this.#helpers = { start: address, end: args };
    this.#func = from === undefined ? at('ftrace_stub') : from.#func;
    this.caller = { args, regs };
    this.stub = at('ftrace_stub');
    this.hostListFunc = at('list');
    this.listNext = at('list_next');
  }

  /** True in the stub and in the list func, which callers call as the kernel's call C code. */
  isHelper(address: bigint): boolean {
    return address >= this.#helpers.start && address < this.#helpers.end;
  }

  /** Has both callers call `func` from now on (update_ftrace_func). */
  setFunc(func: bigint): void {
    if (func === this.#func) return;
    for (const place of this.#calls) this.#engine.write(place, callBytes(place, func));
    this.#func = func;
  }
}

/** Offsets in the frame that the list func shows to the host. */
export const LIST_FRAME = { ops: 0, parent: 8, ip: 16, regs: 24, bit: 32, order: 40 } as const;
const FRAME_SIZE = 56;

/** ftrace_ops_list_func around a host that walks the list: one call of `next` for each ops, which says what to call. */
function listFunc(next: string, returnThunk: bigint): Instruction[] {
  return [
    sub('rsp', FRAME_SIZE),
    movImm32(mem('rsp', LIST_FRAME.order), 0),
    mov(mem('rsp', LIST_FRAME.parent), 'rsi'),
    mov(mem('rsp', LIST_FRAME.ip), 'rdi'),
    mov(mem('rsp', LIST_FRAME.regs), 'rcx'),
    label('.again'),
    lea('rdi', mem('rsp')),
    call(next),
    test('rax', 'rax'),
    jzShort('.done'),
    mov('rdx', mem('rsp', LIST_FRAME.ops)),
    mov('rsi', mem('rsp', LIST_FRAME.parent)),
    mov('rdi', mem('rsp', LIST_FRAME.ip)),
    mov('rcx', mem('rsp', LIST_FRAME.regs)),
    callReg('rax'),
    jmpShort('.again'),
    label('.done'),
    add('rsp', FRAME_SIZE),
    jmp(returnThunk),
  ];
}

function aligned(address: bigint): bigint {
  return (address + 15n) & ~15n;
}
