// What may not be seen of traces: changes of code, faults, budgets, stacks and answers are those of the interpreter.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import type { EngineSnapshot, Exit } from '../../src/engine/engine.ts';
import { Pair } from './pair.ts';

const CODE = 0xffffffff81000000n;
const UNTIL = CODE + 0x800n;
const DATA = 0xffff888000000000n;
const STACK = 0xffffc90000000000n;
const SP = STACK + 0x1800n;
const PAGE = 0x1000n;

let pair: Pair;
beforeEach(async () => {
  pair = await Pair.create();
  pair.map(CODE, 2n * PAGE, 'rwx');
  pair.map(DATA, 2n * PAGE, 'rw');
  pair.map(STACK, 4n * PAGE, 'rw');
});
afterEach(() => pair.dispose());

function place(code: string, at = CODE): void {
  pair.write(at, bytesOfHex(code));
}

/** Runs from `CODE` to its return, the registers as given. */
function run(registers: Parameters<Pair['set']>[0], budget = 100_000, sp = SP): Exit {
  pair.write(sp, quad(UNTIL));
  pair.set({ rsp: sp, ...registers });
  return pair.run({ from: CODE, until: UNTIL, budget }).exit;
}

function quad(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

/** Adds 3 for each turn, with a frame: push rbx; mov [rsp-0x40], rax; add rax, 3; pop rbx; dec ecx; jnz; ret. */
const FRAME_LOOP = '53 48894424c0 4883c003 5b ffc9 75f1 c3';

describe('code that changes', () => {
  // cmp r15, r11; cmove r13, r10; mov [r13], r12d; mov eax, 1; add rbx, rax; inc r12; dec r15; jnz; ret
  const REWRITES = '4d39df 4d0f44ea 45896500 b801000000 4801c3 49ffc4 49ffcf 75e5 c3';
  const IMMEDIATE = CODE + 12n; // of the mov eax

  test('by the running trace itself is the new code from the next instruction on', () => {
    place(REWRITES);
    const start = { r10: IMMEDIATE, r12: 100n, r13: DATA, r15: 50n, rbx: 0n };
    expect(run({ ...start, r11: 20n }).reason).toBe('until');
    // 30 turns add 1; from then on r12 is written before it is added
    const later = Array.from({ length: 20 }, (_, i) => 130n + BigInt(i));
    expect(pair.register('rbx')).toBe(30n + later.reduce((sum, value) => sum + value, 0n));
    expect(pair.compiled).toBeGreaterThan(0);
  });

  test('in every turn never lets an old trace run', () => {
    place(REWRITES);
    run({ r10: IMMEDIATE, r11: 40n, r12: 1n, r13: IMMEDIATE, r15: 40n, rbx: 0n });
    expect(pair.register('rbx')).toBe(820n);
  });

  test('by the host between two runs is seen by the second', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    expect(pair.live).toBeGreaterThan(0);
    pair.write(CODE + 9n, Uint8Array.of(7));
    run({ rax: 0n, rcx: 20n });
    expect(pair.register('rax')).toBe(140n);
  });

  test('on a page that loses its permission, or its mapping, faults where the CPU fetches it', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    pair.each(({ engine }) => engine.protect(CODE, PAGE, 'rw'));
    expect(run({ rax: 0n, rcx: 20n })).toMatchObject({ reason: 'fault', rip: CODE, instructions: 0 });
    pair.each(({ engine }) => engine.protect(CODE, PAGE, 'rx'));
    expect(run({ rax: 0n, rcx: 20n }).reason).toBe('until');
    pair.each(({ engine }) => {
      engine.unmap(CODE, PAGE);
      const exit = engine.run({ from: CODE, until: UNTIL, budget: 10 });
      expect(exit.fault).toEqual({ kind: 'unmapped', rip: CODE, access: 'fetch', address: CODE });
      engine.map(CODE, PAGE, 'rwx');
    });
  });

  test('many times leaves no trace and no slot of the table behind', () => {
    const lengths = new Set<number>();
    for (let i = 0; i < 60; i++) {
      place(FRAME_LOOP);
      run({ rax: 0n, rcx: 10n });
      pair.each(({ core }) => lengths.add(core.instance.table.length));
    }
    expect(pair.compiled).toBeGreaterThanOrEqual(60);
    expect(pair.live).toBeLessThan(5);
    expect(Math.max(...lengths)).toBeLessThan(20);
  });
});

describe('a fault in the middle of a trace', () => {
  // add rax, [r14]; add r14, 8; dec ecx; jnz; ret: runs off its pages
  const WALK = '490306 4983c608 ffc9 75f5 c3';

  test('leaves the exact instruction, registers, flags and count', () => {
    place(WALK);
    const from = DATA + 2n * PAGE - 8n * 40n;
    const exit = run({ rax: 5n, r14: from, rcx: 1000n });
    expect(exit).toEqual({
      reason: 'fault',
      rip: CODE,
      instructions: 160,
      fault: { kind: 'unmapped', rip: CODE, access: 'read', address: DATA + 2n * PAGE },
    });
    expect(pair.compiled).toBeGreaterThan(0);
  });

  test('of a read across the last page’s edge names the first byte that is missing', () => {
    place(WALK);
    const exit = run({ rax: 5n, r14: DATA + 2n * PAGE - 8n * 40n + 3n, rcx: 1000n });
    expect(exit.fault).toMatchObject({ access: 'read', address: DATA + 2n * PAGE });
  });

  test('of a write to a page that is read-only changes nothing', () => {
    place('4901 06 4983c608 ffc9 75f5 c3'); // add [r14], rax
    pair.each(({ engine }) => engine.protect(DATA + PAGE, PAGE, 'r'));
    const exit = run({ rax: 5n, r14: DATA + PAGE - 8n * 30n, rcx: 1000n });
    expect(exit.fault).toMatchObject({ kind: 'protected', access: 'write', address: DATA + PAGE });
    expect(exit.instructions).toBe(120);
  });

  test('of a REP instruction, after some iterations, leaves them done and the instruction uncounted', () => {
    place('eb00 f3a5 c3'); // jmp to the next; rep movsd; ret
    for (let i = 0; i < 4; i++) {
      const exit = run({ rsi: DATA, rdi: DATA + 2n * PAGE - 20n, rcx: 9n });
      expect(exit.instructions).toBe(1);
      expect(exit.fault).toMatchObject({ access: 'write', address: DATA + 2n * PAGE });
      expect(pair.register('rcx')).toBe(4n);
    }
  });

  test('of a return to an address that is not canonical comes before the return', () => {
    place('ffc9 75fc 56 c3'); // dec ecx; jnz; push rsi; ret
    for (let i = 0; i < 4; i++) {
      const exit = run({ rcx: 9n, rsi: 0x8000_0000_0000_0000n });
      expect(exit.fault).toMatchObject({ kind: 'general-protection', rip: CODE + 5n });
    }
  });
});

test('a budget ends at every instruction of a trace, and the rest of it goes on from there', () => {
  place(FRAME_LOOP);
  run({ rax: 0n, rcx: 30n });
  expect(pair.live).toBeGreaterThan(0);
  for (let budget = 0; budget <= 80; budget++) {
    const exit = run({ rax: 0n, rcx: 13n }, budget);
    expect(exit.instructions).toBe(Math.min(budget, 13 * 6 + 1));
    pair.run({ from: exit.rip, until: UNTIL, budget: 1000 });
    expect(pair.register('rax')).toBe(39n);
  }
});

describe('the stack frame of a trace', () => {
  test.each([
    ['across the edge of a page', STACK + PAGE + 0x10n],
    ['at a misaligned address', STACK + 0x1803n],
    ['at the edge exactly', STACK + PAGE],
  ])('works %s', (_, sp) => {
    place(FRAME_LOOP);
    for (let i = 0; i < 3; i++) expect(run({ rax: 0n, rcx: 20n, rbx: 77n }, 1000, sp).reason).toBe('until');
    expect(pair.register('rax')).toBe(60n);
    expect(pair.register('rbx')).toBe(77n);
  });

  test('faults exactly where it leaves its mapping, or becomes read-only', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    expect(run({ rax: 0n, rcx: 20n }, 1000, STACK).fault).toMatchObject({ kind: 'unmapped', address: STACK - 8n });
    pair.each(({ engine }) => engine.protect(STACK, PAGE, 'r'));
    expect(run({ rcx: 20n }, 1000, STACK + PAGE).fault).toMatchObject({
      kind: 'protected',
      address: STACK + PAGE - 8n,
    });
    expect(run({ rcx: 20n }, 1000, STACK + PAGE + 0x20n).fault).toMatchObject({
      kind: 'protected',
      rip: CODE + 1n,
      access: 'write',
    });
  });

  test('on a page of code changes that code at once', () => {
    // the loop stores rax at [rsp-0x40], which is the immediate of its own add
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    for (let offset = 0x34n; offset < 0x60n; offset++) {
      place(FRAME_LOOP);
      pair.write(CODE + 0x200n, new Uint8Array(8));
      run({ rax: 0x9090909090909090n, rcx: 6n }, 60, CODE + offset);
    }
  });

  test('may be the data of the same code by another name', () => {
    // mov [rsp-0x40], rax; mov rdx, 7; mov [r14], rdx; add rax, [rsp-0x40]; dec ecx; jnz; ret
    place('48894424c0 48c7c207000000 498916 48034424c0 ffc9 75e8 c3');
    run({ rax: 1n, rcx: 5n, r14: DATA });
    expect(pair.register('rax')).toBe(32n);
    run({ rax: 1n, rcx: 5n, r14: SP - 0x40n });
    expect(pair.register('rax')).toBe(36n);
    run({ rax: 1n, rcx: 5n, r14: SP - 0x3cn });
  });
});

test('going back to a snapshot takes back what traces wrote, and code that changed since', () => {
  place(FRAME_LOOP);
  run({ rax: 0n, rcx: 20n });
  const taken = new Map<object, EngineSnapshot>();
  pair.each(({ engine }) => taken.set(engine, engine.snapshots.take()));
  const before: string[] = [];
  pair.each(({ engine }) => before.push(Buffer.from(engine.read(STACK, 0x4000)).toString('latin1')));
  for (let i = 0; i < 3; i++) {
    run({ rax: 100n, rcx: 20n });
    pair.write(CODE + 9n, Uint8Array.of(7));
    run({ rax: 0n, rcx: 20n });
    expect(pair.register('rax')).toBe(140n);
    pair.each(({ engine }) => {
      const snapshot = taken.get(engine);
      if (snapshot !== undefined) engine.snapshots.restore(snapshot);
    });
    const after: string[] = [];
    pair.each(({ engine }) => after.push(Buffer.from(engine.read(STACK, 0x4000)).toString('latin1')));
    expect(after).toEqual(before);
    run({ rax: 0n, rcx: 20n });
    expect(pair.register('rax')).toBe(60n);
  }
});

describe('what watches single instructions never meets a trace', () => {
  test('hooks are told of every block and access', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    const events: string[][] = [];
    pair.each(({ engine }) => {
      const seen: string[] = [];
      engine.write(SP, quad(UNTIL));
      engine.writeRegister('rsp', SP);
      engine.writeRegister('rcx', 5n);
      engine.run({
        from: CODE,
        until: UNTIL,
        budget: 1000,
        onMemory: (kind, address, size) => seen.push(`${kind} ${address} ${size}`),
      });
      engine.write(SP, quad(UNTIL));
      engine.writeRegister('rsp', SP);
      engine.writeRegister('rcx', 5n);
      engine.run({ from: CODE, until: UNTIL, budget: 1000, onBlock: (address) => void seen.push(`${address}`) });
      events.push(seen);
    });
    expect(events[1]).toEqual(events[0]);
    expect(events[0]?.length).toBe(5 * 3 + 1 + 6);
  });

  test('steps are single instructions', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    pair.set({ rip: CODE, rsp: SP, rcx: 2n });
    pair.each(({ engine }) => {
      for (const next of [1n, 6n, 10n, 11n, 13n, 0n]) {
        const exit = engine.step();
        expect(exit.instructions).toBe(1);
        expect(exit.rip).toBe(CODE + next);
      }
    });
  });

  test('a stop address inside a trace is noticed', () => {
    place(FRAME_LOOP);
    run({ rax: 0n, rcx: 20n });
    for (const stop of [6n, 1n, 13n, 10n]) {
      pair.set({ rsp: SP, rcx: 9n });
      const { exit } = pair.run({ from: CODE, until: CODE + stop, budget: 1000 });
      expect(exit).toMatchObject({ reason: 'until', rip: CODE + stop });
      expect(run({ rax: 0n, rcx: 20n }).reason).toBe('until');
    }
  });
});

test('flags are those of the last operation at every way out of a trace', () => {
  // each turn: the operation, then a way out that is taken in one turn of two, after which pushf shows them
  const operations = [
    '4801f0', // add rax, rsi
    '4829f0', // sub rax, rsi
    '4821f0', // and rax, rsi
    '39f0', // cmp eax, esi
    '48ffc0', // inc rax
    'ffc8', // dec eax
    '48d1e0', // shl rax, 1
    '48c1f807', // sar rax, 7
    'c1e803', // shr eax, 3
    '480fafc6', // imul rax, rsi
    '69c0efbeadde', // imul eax, eax, 0xdeadbeef
    '48f7d8', // neg rax
    '84c0', // test al, al
    '3c80', // cmp al, 0x80
    '50489d', // push rax; popf
  ];
  for (const operation of operations) {
    // op; bt-free test of r8's low bit would change flags, so the way out is an indirect jump whose target alternates
    const op = bytesOfHex(operation).length;
    place(`${operation} 4887d1 ffe1`); // xchg rcx, rdx; jmp rcx
    const out = CODE + 0x100n;
    place('9c 415a 4d01d3 49ffcf 7405 e9 00000000 c3', out);
    const back = CODE - (out + 16n);
    pair.write(out + 12n, new Uint8Array(Int32Array.of(Number(back)).buffer));
    expect(op).toBeGreaterThan(0);
    for (const rax of [0n, 1n, 0x7fffffffffffffffn, 0x80000000n, 0xffffffffffffffffn, 0x20d7n]) {
      run({ rax, rsi: 0x7fffffff80000001n, rcx: out, rdx: out, r11: 0n, r15: 12n }, 500);
    }
  }
  expect(pair.compiled).toBeGreaterThan(10);
});
