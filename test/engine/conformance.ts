// What any engine must do; `conformance` is called once per engine.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { type Engine, type Exit, GENERAL_REGISTERS, type RunOptions } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/errors.ts';

const PAGE = 0x1000n;
const CODE = 0xffffffff81000000n;
const DATA = 0xffff888000010000n;
const LOW = 0x400000n;
const STACK = DATA + 0x8000n;
const GATE = CODE + 0x3000n;

/** Runs the whole suite on engines made by `create`. */
export function conformance(name: string, create: () => Promise<Engine>): void {
  describe(`engine ${name}`, () => {
    let engine: Engine;

    beforeEach(async () => {
      engine = await create();
      engine.map(CODE, 0x4000n, 'rx');
      engine.map(DATA, 0x10000n, 'rw');
      engine.writeRegister('rsp', STACK);
    });
    afterEach(() => engine.dispose());

    /** Places code at `CODE` and runs it to its end. */
    function run(code: string, options: Partial<RunOptions> = {}): Exit {
      const bytes = bytesOfHex(code);
      engine.write(CODE, bytes);
      return engine.run({ from: CODE, until: CODE + BigInt(bytes.length), budget: 10_000, ...options });
    }

    function code(action: () => unknown): string {
      try {
        action();
      } catch (error) {
        if (error instanceof EngineError) return error.code;
        throw error;
      }
      return 'no error';
    }

    describe('memory', () => {
      test.each([LOW, DATA + 0x20000n, 0x7fffffffe000n, 0xfffffffffffff000n])(
        'bytes written at page %s are read back, across its edges',
        (page) => {
          engine.map(page, PAGE, 'rw');
          expect(engine.read(page, 4096)).toEqual(new Uint8Array(4096));
          engine.write(page, Uint8Array.of(1, 2));
          engine.write(page + 0xffen, Uint8Array.of(3, 4));
          expect(engine.read(page, 2)).toEqual(Uint8Array.of(1, 2));
          expect(engine.read(page + 0xffdn, 3)).toEqual(Uint8Array.of(0, 3, 4));
        },
      );

      test.each([0n, LOW, 0x7fffffffe000n, 2n ** 63n, 2n ** 63n + PAGE, 0xfffffffffffff000n])(
        'code runs on page %s, canonical or not',
        (page) => {
          engine.map(page, PAGE, 'rx');
          engine.write(page, bytesOfHex('b807000000 ffc0'));
          expect(engine.run({ from: page, until: page + 7n, budget: 9 })).toMatchObject({
            reason: 'until',
            rip: page + 7n,
          });
          expect(engine.readRegister('rax')).toBe(8n);
        },
      );

      test('bytes cross from one mapping into the next', () => {
        engine.map(LOW, PAGE, 'rw');
        engine.map(LOW + PAGE, PAGE, 'r');
        engine.write(LOW + 0xffen, Uint8Array.of(1, 2, 3, 4));
        expect(engine.read(LOW + 0xffdn, 6)).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 0));
      });

      test('a refused write changes nothing', () => {
        engine.map(LOW, PAGE, 'rw');
        expect(code(() => engine.write(LOW + 0xffen, Uint8Array.of(1, 2, 3)))).toBe('EFAULT');
        expect(engine.read(LOW + 0xffen, 2)).toEqual(Uint8Array.of(0, 0));
      });

      test('wrong mappings are refused by code', () => {
        expect(code(() => engine.map(LOW + 1n, PAGE, 'r'))).toBe('EINVAL');
        expect(code(() => engine.map(LOW, 0n, 'r'))).toBe('EINVAL');
        expect(code(() => engine.map(LOW, 100n, 'r'))).toBe('EINVAL');
        expect(code(() => engine.map(0xfffffffffffff000n, 2n * PAGE, 'r'))).toBe('EINVAL');
        expect(code(() => engine.map(CODE + PAGE, PAGE, 'r'))).toBe('EEXIST');
        expect(code(() => engine.map(CODE - PAGE, 2n * PAGE, 'r'))).toBe('EEXIST');
        expect(code(() => engine.map(LOW, 1n << 40n, 'r'))).toBe('ENOMEM');
        expect(code(() => engine.unmap(LOW, PAGE))).toBe('EFAULT');
        expect(code(() => engine.protect(CODE, 0x5000n, 'r'))).toBe('EFAULT');
        expect(code(() => engine.unmap(CODE + 8n, PAGE))).toBe('EINVAL');
        expect(code(() => engine.read(LOW, 1))).toBe('EFAULT');
        expect(() => engine.read(-1n, 1)).toThrow(RangeError);
      });

      test('a page in the middle is unmapped and mapped anew, zeroed', () => {
        engine.write(DATA, new Uint8Array(0x3000).fill(7));
        engine.unmap(DATA + PAGE, PAGE);
        expect(code(() => engine.read(DATA + PAGE, 1))).toBe('EFAULT');
        engine.map(DATA + PAGE, PAGE, 'rw');
        expect(engine.read(DATA + PAGE - 1n, 3)).toEqual(Uint8Array.of(7, 0, 0));
        expect(engine.read(DATA + 2n * PAGE, 1)).toEqual(Uint8Array.of(7));
      });

      test('code on a page that was unmapped and mapped anew is the new code', () => {
        expect(run('31c0 ffc0').reason).toBe('until');
        engine.unmap(CODE, PAGE);
        engine.map(CODE, PAGE, 'rx');
        expect(run('31c0 ffc8').reason).toBe('until');
        expect(engine.readRegister('rax')).toBe(0xffffffffn);
      });

      test('protect decides from then on', () => {
        engine.writeRegister('rax', DATA + PAGE);
        const store = '488900';
        expect(run(store).reason).toBe('until');
        engine.protect(DATA + PAGE, PAGE, 'r');
        expect(run(store).fault).toEqual({ kind: 'protected', rip: CODE, access: 'write', address: DATA + PAGE });
        engine.protect(DATA + PAGE, PAGE, 'rw');
        expect(run(store).reason).toBe('until');
      });
    });

    describe('registers', () => {
      test('each general register and base keeps all 64 bits', () => {
        const names = [...GENERAL_REGISTERS, 'fsBase', 'gsBase', 'rip'] as const;
        const value = (i: number) => 0xfedcba9876543210n ^ (BigInt(i) << 60n) ^ BigInt(i);
        const canonical = (i: number) => 0xffff888012345000n + BigInt(i);
        const expected = (i: number) => (i < 16 ? value(i) : canonical(i));
        for (const [i, name] of names.entries()) engine.writeRegister(name, expected(i));
        for (const [i, name] of names.entries()) expect(engine.readRegister(name), name).toBe(expected(i));
        expect(() => engine.writeRegister('rax', 1n << 64n)).toThrow(RangeError);
      });

      test('the segment bases reach the guest', () => {
        engine.writeRegister('gsBase', DATA);
        engine.writeRegister('fsBase', DATA + 8n);
        engine.write(DATA + 0x28n, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0x80, 2));
        run('65488b042528000000 64488b0c2528000000');
        expect(engine.readRegister('rax')).toBe(0x8000000000000001n);
        expect(engine.readRegister('rcx')).toBe(2n);
      });

      test('flags are those of the last operation, with the fixed bits as the CPU has them', () => {
        engine.writeRegister('rflags', 0n);
        expect(engine.readRegister('rflags')).toBe(2n);
        expect(engine.readRegister('rsp')).toBe(STACK);
        expect(engine.readRegister('rflags'), 'after a wide register').toBe(2n);
        run('31c0');
        expect(engine.readRegister('rflags') & 0x8c5n).toBe(0x44n); // zero, parity
        run('b0ff 0401');
        expect(engine.readRegister('rflags') & 0x8d5n).toBe(0x55n); // zero, parity, adjust, carry
        engine.writeRegister('rflags', 0xffffffffffff_fcd7n); // all but TF and IF
        run('9c58');
        expect(engine.readRegister('rax') & 0x802an).toBe(2n);
        expect(engine.readRegister('rax') & 0xcd5n).toBe(0xcd5n);
      });

      test('xmm registers pass through the guest byte by byte', () => {
        const bytes = Uint8Array.from({ length: 16 }, (_, i) => i * 17);
        engine.writeXmm(15, bytes);
        engine.writeXmm(1, new Uint8Array(16).fill(1));
        run('66440ffcf9'); // paddb xmm15, xmm1
        expect(engine.readXmm(15)).toEqual(bytes.map((byte) => byte + 1));
        expect(engine.readXmm(1)).toEqual(new Uint8Array(16).fill(1));
        expect(() => engine.readXmm(16)).toThrow(RangeError);
        expect(() => engine.writeXmm(0, new Uint8Array(8))).toThrow(RangeError);
      });
    });

    describe('stops and counts', () => {
      test('a straight line ends at its stop address, wherever that lies', () => {
        const line = '90'.repeat(200);
        for (const stop of [200n, 50n, 51n, 1n, 199n, 0n, 200n]) {
          expect(run(line, { until: CODE + stop })).toEqual({
            reason: 'until',
            rip: CODE + stop,
            instructions: Number(stop),
          });
        }
      });

      test('a stop address inside a loop that has been running is noticed', () => {
        const loop = '90 90 90 ffc9 75f9 90'; // three nops, dec ecx, jne
        engine.writeRegister('rcx', 5n);
        expect(run(loop).instructions).toBe(26);
        expect(run(loop, { until: CODE + 2n })).toMatchObject({ reason: 'until', rip: CODE + 2n, instructions: 2 });
        expect(engine.run({ from: CODE + 2n, until: CODE + 1n, budget: 100 })).toMatchObject({
          reason: 'until',
          instructions: 4,
        });
      });

      test('a stop address reached by a branch is noticed', () => {
        expect(run('eb02 9090 90', { until: CODE + 4n })).toMatchObject({
          reason: 'until',
          rip: CODE + 4n,
          instructions: 1,
        });
      });

      test.each([false, true])(
        'a stop address inside an instruction is never come to, and the budget ends the run (translated before: %s)',
        (before) => {
          // mov rax, 0x4030201; inc rax; jmp to the start
          const loop = '48c7c001020304 48ffc0 ebf4';
          if (before) run(loop, { until: LOW, budget: 30 });
          for (const inside of [3n, 8n, 11n]) {
            expect(run(loop, { until: CODE + inside, budget: 30 })).toEqual({
              reason: 'budget',
              rip: CODE,
              instructions: 30,
            });
            expect(engine.readRegister('rax')).toBe(0x4030202n);
          }
          expect(run(loop, { until: CODE + 7n, budget: 30 })).toMatchObject({ reason: 'until', instructions: 1 });
        },
      );

      test('counts are exact over branches, calls and very long straight lines', () => {
        engine.writeRegister('rcx', 7n);
        expect(run('ffc9 75fc').instructions).toBe(14);
        expect(run('e803000000 90eb02 90c3 90').instructions).toBe(6);
        expect(run('48ffc0'.repeat(700)).instructions).toBe(700);
        expect(run('48894424f8'.repeat(300)).instructions).toBe(300);
      });

      test.each([
        ['an endless loop', 'ffc0 ebfc'],
        ['a jump to itself', 'ebfe'],
        ['a call to itself', 'e8fbffffff'],
        ['an endless loop behind a long line', `${'48ffc0'.repeat(60)}ebfe`],
      ])('the budget ends %s', (_, loop) => {
        for (const budget of [0, 1, 100]) {
          engine.writeRegister('rsp', STACK);
          const exit = run(loop, { until: CODE + 0x2000n, budget });
          expect(exit.reason).toBe('budget');
          expect(exit.instructions).toBeLessThanOrEqual(budget);
        }
      });

      test('a REP counts as one, whatever it repeats', () => {
        for (const count of [0n, 1n, 2n, 9n]) {
          engine.writeRegister('rcx', count);
          engine.writeRegister('rsi', DATA);
          engine.writeRegister('rdi', DATA + PAGE);
          expect(run('90 f3a4 90'), `rcx=${count}`).toMatchObject({ reason: 'until', instructions: 3 });
          expect(engine.readRegister('rcx')).toBe(0n);
          expect(engine.readRegister('rdi')).toBe(DATA + PAGE + count);
        }
      });

      test('two REPs in a row, and one in a loop, count once each time they are entered', () => {
        engine.writeRegister('rdi', DATA);
        engine.writeRegister('rcx', 4n);
        expect(run('f3aa f3aa').instructions).toBe(2);
        engine.writeRegister('rdx', 3n);
        expect(run('b904000000 f3aa ffca 75f5').instructions).toBe(12);
      });

      test('a REP with a huge count is ended by the budget', () => {
        engine.writeRegister('rdi', DATA);
        engine.writeRegister('rcx', 1n << 40n);
        const exit = run('f3ac', { budget: 500 });
        expect(exit.reason === 'budget' || exit.reason === 'fault').toBe(true);
        expect(exit.instructions).toBeLessThanOrEqual(1);
        engine.writeRegister('rsi', DATA);
        engine.writeRegister('rcx', 1n << 40n);
        expect(run('f3ac', { budget: 500 }).reason).toBe('budget');
      });
    });

    describe('faults', () => {
      test.each([
        ['a load from nowhere', '90 488b00', 1, { kind: 'unmapped', access: 'read', address: 0x10n }],
        ['a store to nowhere', '90 90 488900', 2, { kind: 'unmapped', access: 'write', address: 0x10n }],
        ['a store into code', '90 48890500000000', 1, { kind: 'protected', access: 'write', address: CODE + 8n }],
        ['a jump to nowhere', '90 ffe0', undefined, { kind: 'unmapped', access: 'fetch', address: 0x10n }],
        ['a jump into data', '90 ffe3', undefined, { kind: 'protected', access: 'fetch', address: DATA }],
        ['ud2', '90 0f0b', 1, { kind: 'invalid-instruction' }],
        ['bytes that are no instruction', '9090 06', 2, { kind: 'invalid-instruction' }],
        ['a division by zero', '31c9 f7f1', 2, { kind: 'divide-error' }],
        ['a division that overflows', '31d2 ffc2 31c9 ffc1 f7f1', 8, { kind: 'divide-error' }],
        ['an address that is not canonical', '90 488b06', 1, { kind: 'general-protection' }],
        ['syscall', '90 0f05', 1, { kind: 'syscall' }],
        ['hlt', '90 f4', 1, { kind: 'halt' }],
      ] as const)('%s stops at its instruction', (_, text, offset, fault) => {
        engine.writeRegister('rax', 0x10n);
        engine.writeRegister('rbx', DATA);
        engine.writeRegister('rsi', 1n << 63n);
        const exit = run(`${text} 90`);
        const rip = offset === undefined && 'address' in fault ? fault.address : CODE + BigInt(offset ?? 0);
        expect(exit).toMatchObject({ reason: 'fault', rip, fault: { ...fault, rip } });
        expect(engine.readRegister('rip')).toBe(rip);
      });

      test.each([
        ['int3', '90 cc', 2, { kind: 'breakpoint' }],
        ['int 0x80', '90 cd80', 3, { kind: 'interrupt', vector: 0x80 }],
      ] as const)('%s stops after its instruction', (_, text, offset, fault) => {
        const rip = CODE + BigInt(offset);
        expect(run(`${text} 90`)).toEqual({ reason: 'fault', rip, instructions: 2, fault: { ...fault, rip } });
      });

      test('the instructions before a fault have run and are counted', () => {
        engine.writeRegister('rax', 0n);
        engine.writeRegister('rbx', 0n);
        expect(run('48ffc0 48ffc0 488b0b 48ffc0').instructions).toBe(2);
        expect(engine.readRegister('rax')).toBe(2n);
      });

      test('code that runs off its pages faults at the page, after the instructions before it', () => {
        engine.map(LOW, PAGE, 'rx');
        engine.write(LOW + 0xffan, bytesOfHex('48ffc0 48ffc0'));
        engine.writeRegister('rax', 0n);
        const exit = engine.run({ from: LOW + 0xffan, until: 0n, budget: 100 });
        const rip = LOW + PAGE;
        expect(exit).toEqual({
          reason: 'fault',
          rip,
          instructions: 2,
          fault: { kind: 'unmapped', rip, access: 'fetch', address: rip },
        });
        expect(engine.readRegister('rax')).toBe(2n);
      });

      test('an instruction that straddles the end of the code faults at its own address', () => {
        engine.map(LOW, PAGE, 'rx');
        engine.write(LOW + 0xffcn, bytesOfHex('90 90 488b'));
        const exit = engine.run({ from: LOW + 0xffcn, until: 0n, budget: 100 });
        expect(exit).toMatchObject({ reason: 'fault', rip: LOW + 0xffen, instructions: 2 });
        expect(exit.fault).toMatchObject({ kind: 'unmapped', access: 'fetch', address: LOW + PAGE });
      });

      test('a faulting instruction can be mended and continued', () => {
        engine.writeRegister('rax', LOW);
        expect(run('488b18 48ffc3').reason).toBe('fault');
        engine.map(LOW, PAGE, 'rw');
        engine.write(LOW, Uint8Array.of(41));
        expect(engine.run({ from: CODE, until: CODE + 6n, budget: 10 }).reason).toBe('until');
        expect(engine.readRegister('rbx')).toBe(42n);
      });
    });

    describe('the gate', () => {
      /** `call GATE` at CODE. */
      const CALL = 'e8fb2f0000';
      const NEW_IP = 0xffffffffc0001234n;

      test('is asked once per entry, with rdi, and its answer is in pt_regs when it returns', () => {
        const asked: [number, number][] = [];
        engine.setGate(GATE, (low, high, answer) => {
          asked.push([low, high]);
          answer[0] = Number(NEW_IP & 0xffffffffn);
          answer[1] = Number(NEW_IP >> 32n);
        });
        engine.writeRegister('rdi', 0xffffffff81234560n);
        engine.writeRegister('rcx', DATA);
        engine.writeRegister('rdx', 5n);
        expect(run(`${CALL} 90`)).toEqual({ reason: 'until', rip: CODE + 6n, instructions: 2 });
        expect(asked).toEqual([[0x81234560, 0xffffffff]]);
        expect(new DataView(engine.read(DATA + 0x80n, 8).buffer).getBigUint64(0, true)).toBe(NEW_IP);
        expect(engine.readRegister('rsp')).toBe(STACK);
        expect(engine.readRegister('rdx')).toBe(5n);
        expect(engine.readRegister('rcx')).toBe(DATA);
      });

      test('gives each caller its own answer', () => {
        engine.setGate(GATE, (low, high, answer) => {
          answer[0] = low + 1;
          answer[1] = high;
        });
        const answers: bigint[] = [];
        for (const rdi of [0n, 0xffffffff00000000n, 5n, 5n]) {
          engine.writeRegister('rdi', rdi);
          engine.writeRegister('rcx', DATA);
          run(CALL);
          answers.push(new DataView(engine.read(DATA + 0x80n, 8).buffer).getBigUint64(0, true));
        }
        expect(answers).toEqual([1n, 0xffffffff00000001n, 6n, 6n]);
      });

      test('an exception of the handler ends the run, and the next run works', () => {
        let broken = true;
        engine.setGate(GATE, () => {
          if (broken) throw new Error('the handler broke');
        });
        engine.writeRegister('rcx', DATA);
        expect(() => run(CALL)).toThrow('the handler broke');
        expect(engine.readRegister('rip')).toBe(GATE);
        broken = false;
        engine.writeRegister('rsp', STACK);
        expect(run(CALL)).toMatchObject({ reason: 'until', instructions: 1 });
      });

      test('is invisible to block and memory hooks and to the count', () => {
        engine.setGate(GATE, () => undefined);
        engine.writeRegister('rcx', DATA);
        const seen: string[] = [];
        const exit = run(`${CALL} 90`, {
          onBlock: (address, size) => void seen.push(`block ${address - CODE} ${size}`),
          onMemory: (kind, address, size) => void seen.push(`${kind} ${address - STACK} ${size}`),
        });
        expect(exit.instructions).toBe(2);
        expect(seen).toEqual(['block 0 5', 'write -8 8', 'block 5 1']);
      });

      test('a pt_regs that is not mapped faults at the gate', () => {
        engine.setGate(GATE, () => undefined);
        engine.writeRegister('rcx', 0x10n);
        expect(run(CALL).fault).toEqual({ kind: 'unmapped', rip: GATE, access: 'write', address: 0x90n });
      });

      test('survives mappings anywhere below 4 GiB', () => {
        engine.setGate(GATE, (low, _, answer) => void answer.set([low]));
        for (let page = 0xffff0000n; page < 0x100000000n; page += PAGE) engine.map(page, PAGE, 'rw');
        engine.writeRegister('rdi', 77n);
        engine.writeRegister('rcx', DATA);
        expect(run(CALL).reason).toBe('until');
        expect(engine.read(DATA + 0x80n, 1)).toEqual(Uint8Array.of(77));
      });

      test('takes a new handler at the same address only', () => {
        engine.setGate(GATE, () => undefined);
        expect(code(() => engine.setGate(GATE + 16n, () => undefined))).toBe('EINVAL');
        engine.setGate(GATE, (_, __, answer) => void answer.set([9]));
        engine.writeRegister('rcx', DATA);
        run(CALL);
        expect(engine.read(DATA + 0x80n, 1)).toEqual(Uint8Array.of(9));
      });

      test('needs executable memory', () => {
        expect(code(() => engine.setGate(LOW, () => undefined))).toBe('EFAULT');
        expect(code(() => engine.setGate(DATA, () => undefined))).toBe('EFAULT');
      });
    });

    describe('hooks', () => {
      test('the block hook is told each block once, with registers as they are then', () => {
        const seen: string[] = [];
        engine.writeRegister('rcx', 0n);
        for (let round = 0; round < 2; round++) {
          run('b903000000 ffc9 75fc 90', {
            onBlock: (address, size) => void seen.push(`${address - CODE}+${size} rcx=${engine.readRegister('rcx')}`),
          });
        }
        const once = ['0+9 rcx=0', '5+4 rcx=2', '5+4 rcx=1', '9+1 rcx=0'];
        expect(seen).toEqual([...once, ...once]);
      });

      test('the block hook stops before the block or inside it', () => {
        const code = 'eb00 90 90 90 90';
        const stopAt = (stop: bigint) =>
          run(code, { onBlock: (address) => (address === CODE + 2n ? CODE + stop : undefined) });
        expect(stopAt(2n)).toEqual({ reason: 'stopped', rip: CODE + 2n, instructions: 1 });
        expect(stopAt(4n)).toEqual({ reason: 'stopped', rip: CODE + 4n, instructions: 3 });
        expect(run(code, { onBlock: (address) => address })).toEqual({ reason: 'stopped', rip: CODE, instructions: 0 });
        expect(run(code)).toMatchObject({ reason: 'until', instructions: 5 });
      });

      test('a block hook that names no instruction’s address does not stop the run, and is told of each block', () => {
        // mov rax, 0x4030201; inc rax; jmp to the start
        for (const inside of [3n, 8n, 11n]) {
          const told: bigint[] = [];
          const onBlock = (at: bigint): bigint => {
            told.push(at);
            return told.length < 3 ? at + inside : at;
          };
          const exit = run('48c7c001020304 48ffc0 ebf4', { until: LOW, budget: 30, onBlock });
          expect(exit).toEqual({ reason: 'stopped', rip: CODE, instructions: 6 });
          expect(told).toEqual([CODE, CODE, CODE]);
        }
      });

      test('a block hook’s stop behind a REP is come to within the budget only', () => {
        // mov ecx, -1; rep lodsb of nothing mapped further than a page; nop
        engine.writeRegister('rsi', DATA);
        const onBlock = (at: bigint): bigint | undefined => (at === CODE ? CODE + 7n : undefined);
        const exit = run('b9ffffffff f3ac 90', { until: LOW, budget: 100, onBlock });
        expect(exit).toMatchObject({ reason: 'budget' });
        expect(DATA + 100n - engine.readRegister('rsi')).toBeLessThan(3n);
      });

      test('an exception of a hook ends the run and is rethrown', () => {
        const broken = () => {
          throw new Error('the hook broke');
        };
        expect(() => run('90', { onBlock: broken })).toThrow('the hook broke');
        expect(() => run('50 90', { onMemory: broken })).toThrow('the hook broke');
        expect(run('90').reason).toBe('until');
      });

      test('the memory hook is told each access in order, and only while it is given', () => {
        const seen: string[] = [];
        const onMemory: RunOptions['onMemory'] = (kind, address, size) =>
          void seen.push(`${kind} ${address - DATA} ${size}`);
        engine.writeRegister('rbx', DATA);
        const code = '50 8a4303 66894310 480103 59';
        const expected = ['write 32760 8', 'read 3 1', 'write 16 2', 'read 0 8', 'write 0 8', 'read 32760 8'];
        run(code, { onMemory });
        expect(seen).toEqual(expected);
        run(code);
        expect(seen).toHaveLength(6);
      });

      test('run, step and dispose inside a hook or handler are EBUSY', () => {
        const codes: string[] = [];
        const tryAll = () => {
          codes.push(code(() => engine.run({ from: CODE, until: CODE, budget: 1 })));
          codes.push(code(() => engine.step()));
          codes.push(code(() => engine.dispose()));
        };
        engine.setGate(GATE, tryAll);
        engine.writeRegister('rcx', DATA);
        run('e8fb2f0000', { onMemory: () => tryAll(), onBlock: () => void tryAll() });
        expect(codes.length).toBeGreaterThanOrEqual(9);
        expect(new Set(codes)).toEqual(new Set(['EBUSY']));
        expect(run('90').reason).toBe('until');
      });
    });

    describe('changing code', () => {
      test('a patch between runs takes effect and is counted (F49)', () => {
        expect(run('31c0 b001 90').instructions).toBe(3);
        engine.write(CODE + 2n, bytesOfHex('909090'));
        expect(engine.run({ from: CODE, until: CODE + 5n, budget: 100 }).instructions).toBe(4);
        expect(engine.readRegister('rax')).toBe(0n);
      });

      test('a patch from a block hook takes effect in the blocks that follow', () => {
        engine.writeRegister('rax', 0n);
        const exit = run('eb00 ffc0 90', {
          onBlock: (address) => {
            if (address === CODE) engine.write(CODE + 2n, bytesOfHex('9090'));
            return undefined;
          },
        });
        expect(exit.instructions).toBe(4);
        expect(engine.readRegister('rax')).toBe(0n);
      });

      test('a guest that writes ahead into its own line runs what it wrote, each access told once', () => {
        engine.map(LOW, PAGE, 'rwx');
        for (let round = 0; round < 2; round++) {
          // nop; mov byte [rip+1], 0x50; nop; (nop → push rax); nop
          engine.write(LOW, bytesOfHex('90 c6050100000050 90 90 90'));
          engine.writeRegister('rsp', STACK);
          const seen: string[] = [];
          const exit = engine.run({
            from: LOW,
            until: LOW + 11n,
            budget: 100,
            onMemory: (kind, address, size) => void seen.push(`${kind} ${address} ${size}`),
          });
          expect(exit).toMatchObject({ reason: 'until', instructions: 5 });
          expect(engine.readRegister('rsp')).toBe(STACK - 8n);
          expect(seen).toEqual([`write ${LOW + 9n} 1`, `write ${STACK - 8n} 8`]);
        }
      });

      test('a guest that rewrites a function it calls again runs the new one', () => {
        engine.map(LOW, PAGE, 'rwx');
        engine.write(LOW + 0x100n, bytesOfHex('ffc0 c3'));
        // call +0x100; mov word [rip+..], 0xc8ff (dec eax); call +0x100
        engine.write(LOW, bytesOfHex('e8fb000000 66c705f2000000ffc8 e8ed000000'));
        engine.writeRegister('rax', 5n);
        const exit = engine.run({ from: LOW, until: LOW + 19n, budget: 100 });
        expect(exit).toMatchObject({ reason: 'until', instructions: 7 });
        expect(engine.readRegister('rax')).toBe(5n);
      });
    });

    describe('step', () => {
      /** Steps from CODE and lists where each step came to, and what it counted. */
      function steps(text: string, count: number): string[] {
        engine.write(CODE, bytesOfHex(text));
        engine.writeRegister('rip', CODE);
        return Array.from({ length: count }, () => {
          const exit = engine.step();
          return `${exit.rip - CODE}:${exit.instructions}${exit.reason === 'stopped' ? '' : ` ${exit.reason}`}`;
        });
      }

      test('walks straight lines, branches taken and not, calls and returns', () => {
        engine.writeRegister('rax', 0n);
        expect(steps('90 85c0 7501 90 7400 e801000000 90 c3', 7)).toEqual([
          '1:1',
          '3:1',
          '5:1',
          '6:1',
          '8:1',
          '14:1',
          '13:1',
        ]);
        expect(engine.readRegister('rsp')).toBe(STACK);
      });

      test('a jump to itself stays', () => {
        expect(steps('ebfe', 3)).toEqual(['0:1', '0:1', '0:1']);
      });

      test('a REP takes one iteration a step and counts once', () => {
        engine.writeRegister('rdi', DATA);
        engine.writeRegister('rcx', 3n);
        expect(steps('f3aa 90', 4)).toEqual(['0:1', '0:0', '2:0', '3:1']);
        expect(engine.readRegister('rdi')).toBe(DATA + 3n);
        engine.writeRegister('rcx', 0n);
        expect(steps('f3aa 90', 1)).toEqual(['2:1']);
        engine.writeRegister('rcx', 9n);
        engine.writeRegister('rax', 1n);
        expect(steps('f2ae', 1)).toEqual(['0:1']);
      });

      test('the gate is one step that counts nothing', () => {
        let asked = 0;
        engine.setGate(GATE, () => void asked++);
        engine.writeRegister('rcx', DATA);
        expect(steps('e8fb2f0000 90', 3)).toEqual([`${GATE - CODE}:1`, '5:0', '6:1']);
        expect(asked).toBe(1);
      });

      test('a fault is reported and does not advance', () => {
        engine.writeRegister('rax', 0n);
        expect(steps('90 488b00', 3)).toEqual(['1:1', '1:0 fault', '1:0 fault']);
        expect(steps('90 0f0b', 2)).toEqual(['1:1', '1:0 fault']);
        engine.writeRegister('rip', LOW);
        expect(engine.step().fault).toEqual({ kind: 'unmapped', rip: LOW, access: 'fetch', address: LOW });
      });

      test('steps and a run over the same code count the same', () => {
        const text = 'b903000000 488d3dfa0f0000 ffc9 75fc b905000000 4889df f3aa 90';
        engine.writeRegister('rbx', DATA);
        const whole = run(text).instructions;
        engine.writeRegister('rip', CODE);
        let sum = 0;
        for (let i = 0; i < 100 && engine.readRegister('rip') !== CODE + 27n; i++) sum += engine.step().instructions;
        expect(sum).toBe(whole);
      });
    });

    describe('life', () => {
      test('dispose twice is harmless, use after it is EINVAL', () => {
        engine.dispose();
        engine.dispose();
        for (const use of [
          () => engine.map(LOW, PAGE, 'r'),
          () => engine.read(CODE, 1),
          () => engine.write(CODE, Uint8Array.of(0)),
          () => engine.readRegister('rax'),
          () => engine.writeRegister('rax', 0n),
          () => engine.readXmm(0),
          () => engine.run({ from: CODE, until: CODE, budget: 1 }),
          () => engine.step(),
          () => engine.setGate(GATE, () => undefined),
        ]) {
          expect(code(use)).toBe('EINVAL');
        }
      });

      test('two engines know nothing of each other', async () => {
        const other = await create();
        try {
          expect(() => other.read(CODE, 1)).toThrow(EngineError);
          other.map(CODE, PAGE, 'rx');
          other.write(CODE, bytesOfHex('ffc8'));
          other.writeRegister('rax', 10n);
          engine.writeRegister('rax', 10n);
          run('ffc0');
          other.run({ from: CODE, until: CODE + 2n, budget: 1 });
          expect([engine.readRegister('rax'), other.readRegister('rax')]).toEqual([11n, 9n]);
          other.dispose();
          expect(run('ffc0').reason).toBe('until');
        } finally {
          other.dispose();
        }
      });
    });
  });
}
