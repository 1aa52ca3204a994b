// Redirections written over a function's first bytes or into its patchable entry, byte by byte.
import {
  bytesOf,
  call,
  type Instruction,
  int3,
  jmp,
  label,
  lfence,
  mem,
  mov,
  movImm64,
  nop,
  pause,
  raw,
  ret,
} from '../../x86/encode.ts';
import { type Effect, type Family, type Mechanism, makeProgram, type Program } from '../mechanism.ts';
import {
  at,
  body,
  bodyAfter,
  FAR_NEW,
  HANDLER,
  HOT,
  jmpFar,
  kept,
  labelAt,
  NEW,
  OLD_ADDS,
  redirected,
  THUNK,
  TRAMPOLINE,
} from './hot.ts';

/** Bytes of the function that a patch of a length covers, at the end of an instruction (see `body`). */
const COVERED: Readonly<Record<number, number>> = { 5: 8, 6: 8, 12: 12, 14: 16, 16: 16 };

const plain = (): Program => kept([at(HOT, [nop(5), ...body(OLD_ADDS)])], HOT + 5n);

/** `call __fentry__` as a kernel runs it before ftrace makes it a NOP. */
const fentry = (): Program =>
  kept([at(HOT, [call(HANDLER), ...body(OLD_ADDS)]), at(HANDLER, [jmp(THUNK)]), at(THUNK, [ret(), int3()])], HANDLER);

/** -fpatchable-function-entry=5 as gcc leaves it. */
const fiveNops = (): Program =>
  kept([at(HOT, [...Array.from({ length: 5 }, () => nop(1)), ...body(OLD_ADDS)])], HOT + 5n);

/** A patch over the function's start; what it cuts stays behind it. */
function over(patch: readonly Instruction[], newAt: bigint): Program {
  const { length } = at(HOT, patch).bytes;
  const filler = (COVERED[length] ?? length) - length;
  return redirected(
    [at(HOT, [...patch, ...Array.from({ length: filler }, int3), ...bodyAfter(length + filler)])],
    newAt,
  );
}

const jmpEntry = (): Program => over([jmp(NEW)], NEW);
const farJmp = (): Program => over(jmpFar(FAR_NEW), FAR_NEW);
const movJmp = (): Program => over([movImm64('rax', FAR_NEW), raw(0xff, 0xe0)], FAR_NEW);
const pushRet = (): Program => over([raw(0x68, ...bytesOf(NEW, 4)), ret()], NEW);
const pushMovRet = (): Program =>
  over(
    [
      raw(0x68, ...bytesOf(FAR_NEW, 4)), // push low half
      raw(0xc7, 0x44, 0x24, 0x04, ...bytesOf(FAR_NEW >> 32n, 4)), // mov dword [rsp+4], high half
      ret(),
    ],
    FAR_NEW,
  );

/** The kernel's handler, or a debugger's, emulates a jump; that part is the host's. */
const breakpoint = (): Program =>
  redirected([at(HOT, [int3(), ...bodyAfter(1)])], NEW, { traps: new Map([[HOT, NEW]]) });

/** `mov edi, edi` made a jump back into five bytes of padding (MSVC /hotpatch). */
const hotPatch = (): Program => redirected([at(HOT - 5n, [jmp(NEW), raw(0xeb, 0xf9), ...body(OLD_ADDS)])]);

/** libpulp: 14 bytes before the entry hold the far jump, the entry jumps back to them. */
const libpulp = (): Program =>
  redirected([at(HOT - 14n, [...jmpFar(FAR_NEW), raw(0xeb, 0xf0), ...body(OLD_ADDS)])], FAR_NEW);

/** An XRay entry sled switched on: `mov r10d, id; call trampoline`, whose handler returns at once. */
function xray(): Program {
  const saved = ['rax', 'rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9', 'r10', 'r11'] as const;
  const vectors = Array.from({ length: 8 }, (_, i) => i);
  const frame = 8 * 16 + 8 * saved.length;
  const trampoline = [
    raw(0x9c), // pushf
    raw(0x48, 0x81, 0xec, ...bytesOf(BigInt(frame), 4)), // sub rsp, frame
    ...vectors.map((i) => raw(0x0f, 0x11, 0x84 | (i << 3), 0x24, ...bytesOf(BigInt(16 * i), 4))), // movups [rsp+…], xmm
    ...saved.map((reg, i) => mov(mem('rsp', 128 + 8 * i), reg)),
    call(HANDLER),
    ...saved.map((reg, i) => mov(reg, mem('rsp', 128 + 8 * i))),
    ...vectors.map((i) => raw(0x0f, 0x10, 0x84 | (i << 3), 0x24, ...bytesOf(BigInt(16 * i), 4))), // movups xmm, [rsp+…]
    raw(0x48, 0x81, 0xc4, ...bytesOf(BigInt(frame), 4)), // add rsp, frame
    raw(0x9d), // popf
    ret(),
  ];
  const sled = [raw(0x41, 0xba, 7, 0, 0, 0), call(TRAMPOLINE)];
  return kept([at(HOT, [...sled, ...body(OLD_ADDS)]), at(TRAMPOLINE, trampoline), at(HANDLER, [ret()])], HANDLER);
}

const xraySled = (): Program => kept([at(HOT, [raw(0xeb, 0x09), nop(9), ...body(OLD_ADDS)])], HOT + 11n);

/** An inline hook: the entry jumps to the hook, which calls the function through its relocated prologue. */
function inlineHook(
  patch: (target: bigint) => readonly Instruction[],
  back: (target: bigint) => readonly Instruction[],
): Program {
  const written = patch(HANDLER);
  const { length } = at(HOT, written).bytes;
  const covered = COVERED[length] ?? length;
  const { bytes: original } = at(HOT, body(OLD_ADDS));
  const hook = [raw(0x48, 0x83, 0xec, 0x08), call(TRAMPOLINE), raw(0x48, 0x83, 0xc4, 0x08), label('done'), ret()];
  return kept(
    [
      at(HOT, [...written, ...Array.from({ length: covered - length }, int3), ...bodyAfter(covered)]),
      at(HANDLER, hook),
      at(TRAMPOLINE, [raw(...original.subarray(0, covered)), ...back(HOT + BigInt(covered))]),
    ],
    labelAt(HANDLER, hook, 'done'),
  );
}

/** A static call's site: the call goes to the trampoline that is one jump, or straight to the function. */
function staticCall(inline: boolean): Program {
  const site = [raw(0x48, 0x83, 0xec, 0x08), call(inline ? NEW : TRAMPOLINE), raw(0x48, 0x83, 0xc4, 0x08), ret()];
  // ud1 esp, ecx: the signature that the kernel looks for (validation.md)
  return redirected([at(HOT, site), at(TRAMPOLINE, [jmp(NEW), raw(0x0f, 0xb9, 0xcc)])]);
}

/** The entry jumps through a register, by a retpoline. */
const retpoline = (): Program =>
  redirected([
    at(HOT, [raw(0x49, 0xc7, 0xc3, ...bytesOf(NEW, 4)), jmp(THUNK), ...bodyAfter(12)]),
    at(THUNK, [
      call('.set'),
      label('.spin'),
      pause(),
      lfence(),
      jmp('.spin'),
      label('.set'),
      mov(mem('rsp'), 'r11'),
      ret(),
      int3(),
    ]),
  ]);

type Row = readonly [id: string, family: Family, effect: Effect, title: string, program: () => Program, note?: string];

const ROWS: readonly Row[] = [
  ['nop5', 'plain', 'none', 'unpatched, NOP5', plain, 'what all ratios are to'],
  ['fentry', 'plain', 'visit', 'unpatched, call __fentry__', fentry],
  ['nops', 'plain', 'none', 'unpatched, five one-byte NOPs', fiveNops],
  ['xray-off', 'plain', 'none', 'XRay sled, off', xraySled],
  ['jmp', 'entry patch', 'redirect', 'jmp rel32 at the entry (Ksplice, kGraft)', jmpEntry],
  ['ff25', 'entry patch', 'redirect', 'jmp [rip] and address, 14 bytes', farJmp],
  [
    'mov-jmp',
    'entry patch',
    'redirect',
    'mov rax, imm64; jmp rax',
    movJmp,
    'rax, the count of vector arguments, is lost',
  ],
  ['push-ret', 'entry patch', 'redirect', 'push imm32; ret', pushRet],
  ['push-mov-ret', 'entry patch', 'redirect', 'push; mov [rsp+4]; ret', pushMovRet],
  ['int3', 'entry patch', 'redirect', 'int3 with a handler', breakpoint, 'the trap and its handler are not counted'],
  ['hot-patch', 'entry patch', 'redirect', 'short jump and padding (hot-patch)', hotPatch],
  ['libpulp', 'entry patch', 'redirect', 'short jump and 14 bytes (libpulp)', libpulp],
  ['retpoline', 'entry patch', 'redirect', 'jump through a retpoline', retpoline],
  ['xray-on', 'entry patch', 'visit', 'XRay sled, on', xray, 'the handler returns at once'],
  [
    'inline-jmp',
    'inline hook',
    'visit',
    'inline hook, jmp rel32 and relocated prologue',
    () =>
      inlineHook(
        (to) => [jmp(to)],
        (to) => [jmp(to)],
      ),
  ],
  ['inline-ff25', 'inline hook', 'visit', 'inline hook, 14 bytes each way', () => inlineHook(jmpFar, jmpFar)],
  [
    'static-call',
    'call site',
    'redirect',
    'static call, out of line',
    () => staticCall(false),
    'the caller is counted too',
  ],
  [
    'static-call-inline',
    'call site',
    'redirect',
    'static call, inline',
    () => staticCall(true),
    'the caller is counted too',
  ],
];

/** All mechanisms that are bytes alone. */
export const ENTRIES: readonly Mechanism[] = ROWS.map(([id, family, effect, title, program, note]) => ({
  id,
  family,
  effect,
  title,
  ...(note === undefined ? {} : { note }),
  make: (engine) => makeProgram(engine, program()),
}));
