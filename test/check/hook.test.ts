// Hooks made for one check each: a bad one, and its nearest good neighbour.
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { judgeHook } from '../../src/check/hook.ts';
import { check } from '../../src/check/index.ts';
import { judgeRelocation } from '../../src/check/relocation.ts';

const keeper = keepEngines();
afterAll(() => keeper.dispose());

/** mov eax, ecx; nop */
const BLOCK = { address: 0x2000n, bytes: bytesOfHex('89c890') };
const LAST = 0xffff_ffff_ffff_fffen;
const FUNCTION = 0x10000800n;
const TRAMPOLINE = 0x10004000n;

/** `jmp` from the end of `prologue` at the trampoline back to `offset` in the function. */
function withJumpBack(prologue: string, offset: number): string {
  const from = TRAMPOLINE + BigInt(prologue.length / 2) + 5n;
  const distance = Number(BigInt.asUintN(32, FUNCTION + BigInt(offset) - from));
  const bytes = [0, 8, 16, 24].map((shift) => ((distance >>> shift) & 0xff).toString(16).padStart(2, '0'));
  return `${prologue}e9${bytes.join('')}`;
}

function judge(original: string, trampoline: string) {
  return judgeHook(
    {
      function: { address: FUNCTION, bytes: bytesOfHex(original), padding: 0xcc },
      patchLength: 5,
      trampoline: { address: TRAMPOLINE, bytes: bytesOfHex(trampoline) },
    },
    keeper.engines,
  );
}

const FRAME = '554889e54883ec10c9c3'; // push rbp; mov rbp,rsp; sub rsp,16; leave; ret

describe.each([
  ['C2', 'cuts an instruction in half', FRAME, withJumpBack('554889e54883', 6)],
  ['C3', 'overwrites the next function', '31c0c3554889e55dc3', withJumpBack('31c0c3554889e5', 7)],
  ['C4', 'leaves a loop into the patched bytes', '31c0ffc083f80a75f9c3', withJumpBack('31c0ffc083f80a', 7)],
  ['C9', 'jumps back to the wrong place', FRAME, withJumpBack('554889e54883ec10', 9)],
  ['C10', 'loads from another address', '488b0500010000c3', withJumpBack('488b0500010000', 7)],
  ['C13', 'turns jrcxz into test and jz', 'e304ffc09090ffc3c3', withJumpBack('4885c90f84fcc7ffffffc0909090', 6)],
  [
    'C17',
    'spoils the register that cmpxchg compares',
    'f0480fb10d00010000c3',
    withJumpBack('48b80909001000000000f0480fb108', 9),
  ],
  ['C18', 'changes flags that the function reads', '9090909090730383c001c3', withJumpBack('9090909090f9', 5)],
  ['C21', 'changes a register', FRAME, withJumpBack('554889e54883ec1083c301', 8)],
  ['C29', 'pops what it did not push', FRAME, withJumpBack('5d554889e54883ec10', 8)],
  ['C23', 'changes xmm1', FRAME, withJumpBack('554889e54883ec10660fefc9', 8)],
  // cmp edi, 5; jae: only at 5 itself do the two differ
  ['C9', 'turns jae into ja', '83ff057306b801000000c3b802000000c3', '83ff050f8702c8ffffe9f7c7ffff'],
  // cmp dword [rdi], 5; jae: the constant must stand in memory, and behind two pointers
  [
    'C9',
    'turns jae into ja after a comparison in memory',
    '833f057306b801000000c3b802000000c3',
    '833f050f8702c8ffffe9f7c7ffff',
  ],
  [
    'C9',
    'turns jae into ja after a comparison behind a pointer',
    '488b07837808057306b801000000c3b802000000c3',
    withJumpBack('488b07837808050f8702c8ffff', 9),
  ],
  // cmp [rdi], esi and cmp [rip + 0x100], esi: memory must hold what the register does
  [
    'C9',
    'turns jae into ja after a comparison of memory with a register',
    '3937730389f8c331c0c3',
    withJumpBack('39370f87ffc7ffff89f8', 6),
  ],
  [
    'C9',
    'turns jae into ja after a comparison of a named place with a register',
    '393500010000730389f8c331c0c3',
    withJumpBack('393500c9ffff0f87ffc7ffff', 8),
  ],
  ['C10', 'reads through fs what the function reads through gs', '65488b0090c3', withJumpBack('64488b0090', 5)],
  [
    'C10',
    'reads through gs what the function reads through no segment',
    '488b00909090c3',
    withJumpBack('65488b00909090', 6),
  ],
  ['C10', 'loads the stack guard from gs', '64488b042528000000c3', withJumpBack('65488b042528000000', 9)],
  [
    'C10',
    'writes where one value is compared',
    '4881ff78563412b801000000c3',
    '4881ff785634127507c605f0dfffff01e9f2c7ffff',
  ],
  // mov [rdi], esi; mov [rdx], ecx; nop: the same only where the pointers differ
  ['C10', 'swaps two stores', '8937890a90c3', withJumpBack('890a893790', 5)],
  ['C1', 'holds bytes that are no instruction', FRAME, withJumpBack('06554889e54883ec10', 8)],
  ['C19', 'returns with the direction flag set', FRAME, withJumpBack('554889e54883ec10fd', 8)],
])('%s: a trampoline that %s', (_rule, _what, original, trampoline) => {
  test('is broken', async () => {
    expect(await judge(original, trampoline)).toMatchObject({ verdict: 'broken' });
  });
});

describe.each([
  ['moves a frame set-up', FRAME, withJumpBack('554889e54883ec10', 8)],
  ['re-bases a RIP-relative load', '488b0500010000c3', withJumpBack('488b0500c9ffff', 7)],
  ['takes a loop that ends right behind the patch', '31c0909090ffc083f80a75f9c3', withJumpBack('31c0909090', 5)],
  ['fills a short function up with padding', '31c0c39090', withJumpBack('31c0c3', 3)],
  ['saves and restores what it uses', FRAME, withJumpBack('53b3095b554889e54883ec10', 8)],
  ['keeps a comparison in memory', '833f057306b801000000c3b802000000c3', '833f050f8302c8ffffe9f7c7ffff'],
  // mov rax, gs:[rdi]; cmp rax, 5; lea in place of a nop, which only runs can clear
  ['reads through gs by a register', '65488b074883f80575039090c3c3', withJumpBack('65488b07488d40004883f805', 8)],
  ['saves the flags around an addition', FRAME, withJumpBack('9c4883c3014883eb019d554889e54883ec10', 8)],
])('a trampoline that %s', (_what, original, trampoline) => {
  test('is equivalent', async () => {
    expect(await judge(original, trampoline)).toMatchObject({ verdict: 'equivalent' });
  });
});

test('a call to a function outside is moved with a warning about its return address', async () => {
  const moved = withJumpBack('e8fbd7ffff', 5);
  const result = await judge('e8fb0f0000c3', moved);
  expect(result.verdict).toBe('equivalent');
  expect(result.findings.map(({ rule, level }) => `${rule} ${level}`)).toEqual(['C16 warning']);
});

test('a finding holds the registers that show the difference, and the memory to replay it', async () => {
  const result = await judge(FRAME, withJumpBack('554889e54883ec1083c301', 8));
  const [finding] = result.findings;
  expect(finding?.state?.registers.rbx).toMatch(/^0x/);
  expect(finding?.replay?.entry).toBe('0x10004000');
  expect(finding?.replay?.memory.length).toBeGreaterThan(1);
});

test('a jump back with any one bit of its distance flipped is broken', async () => {
  const good = bytesOfHex(withJumpBack('554889e54883ec10', 8));
  for (let bit = 9 * 8; bit < good.length * 8; bit++) {
    const bytes = good.slice();
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const hook = {
      function: { address: FUNCTION, bytes: bytesOfHex(FRAME), padding: 0xcc },
      patchLength: 5,
      trampoline: { address: TRAMPOLINE, bytes },
    };
    expect((await judgeHook(hook, keeper.engines)).verdict, `bit ${bit}`).toBe('broken');
  }
});

describe('the bases of fs and gs are places of their own', () => {
  const GUARD = '64488b0425280000004831f8c3'; // mov rax, fs:[0x28]; xor rax, rdi; ret
  test.each([
    ['loses fs', '488b042528000000e9fcc7ffff'],
    ['takes gs instead', '65488b042528000000e9fbc7ffff'],
  ])('a load that %s', async (_what, trampoline) => {
    const { verdict, reason, findings } = await judge(GUARD, trampoline);
    expect(verdict).toBe('broken');
    expect(reason).toMatch(/accesses (gs:)?0x28 where the original accesses fs:0x28/);
    expect(findings[0]?.rule).toBe('C10');
    expect(findings[0]?.replay?.registers).toMatchObject({ fsBase: '0x110000004000', gsBase: '0x220000006000' });
  });

  test('an address through fs that is made in registers', async () => {
    // push rdi; mov edi, 0x28; mov rax, fs:[rdi]; pop rdi
    expect((await judge(GUARD, withJumpBack('57bf2800000064488b075f', 9))).verdict).toBe('equivalent');
    expect((await judge(GUARD, withJumpBack('57bf2800000065488b075f', 9))).verdict).toBe('broken');
  });

  test('the load itself, moved as it is, is equivalent', async () => {
    expect((await judge(GUARD, withJumpBack('64488b042528000000', 9))).verdict).toBe('equivalent');
  });

  test.each([
    ['function', '', '90'],
    ['trampoline', FRAME, ''],
  ])('no bytes of the %s', async (_what, original, trampoline) => {
    expect(await judge(original, trampoline)).toMatchObject({ verdict: 'not-judged', reason: 'no bytes' });
  });
});

test('C3: a jump over a function that is shorter overwrites its neighbour, unless there is known to be room above', async () => {
  const [original, trampoline] = ['31c0c3b807000000c3', '31c0c3'];
  const hook = {
    function: { address: FUNCTION, bytes: bytesOfHex(original) },
    patchLength: 5,
    trampoline: { address: TRAMPOLINE, bytes: bytesOfHex(trampoline) },
  };
  expect((await judgeHook(hook, keeper.engines)).findings[0]).toMatchObject({ rule: 'C3', level: 'error' });
  expect((await judge(original, trampoline)).verdict).toBe('equivalent');
});

test.each([0, -1, 1.5])('a patch of %s bytes is an error', async (patchLength) => {
  const place = { address: FUNCTION, bytes: bytesOfHex(FRAME) };
  await expect(judgeHook({ function: place, patchLength, trampoline: place })).rejects.toThrow(
    '"patchLength" expected',
  );
});

test.each([
  [
    'a moved block',
    () => judgeRelocation({ ...BLOCK, newAddress: LAST, output: BLOCK.bytes, bitness: 64 }, keeper.engines),
  ],
  [
    'the block',
    () => judgeRelocation({ ...BLOCK, address: LAST, newAddress: 0x1000n, output: BLOCK.bytes, bitness: 64 }),
  ],
  [
    'what follows it',
    () => judgeRelocation({ ...BLOCK, address: LAST - 2n, newAddress: 0x1000n, context: BLOCK.bytes, bitness: 64 }),
  ],
  ['a trampoline', () => check.trampoline({ ...BLOCK, address: LAST, kind: 'args', handler: 0x1000n, ops: 1n })],
  ['bytes that lead somewhere', () => check.dispatch({ ...BLOCK, address: LAST, target: 0x1000n })],
  ['bytes that preserve', () => check.preserves({ ...BLOCK, address: LAST })],
  ['code to be freed', () => check.free({ ...BLOCK, address: LAST, tasks: [] })],
  ['a site', async () => check.site('nop', { ...BLOCK, address: LAST, bitness: 64 })],
])('%s that wraps past the last address is an error', async (_what, judged) => {
  await expect(judged()).rejects.toThrow(/go past the last address/);
});

test('a block that ends right before the last address is judged; behind one more byte there is no place to go on', async () => {
  const at = 0xffff_ffff_ffff_ffffn - BigInt(BLOCK.bytes.length);
  const moved = (newAddress: bigint) =>
    judgeRelocation({ ...BLOCK, newAddress, output: BLOCK.bytes, bitness: 64 }, keeper.engines);
  expect(await moved(at)).toMatchObject({ verdict: 'equivalent' });
  await expect(moved(at + 1n)).rejects.toThrow(RangeError);
});

test('C16: a syscall, moved as it is, is not judged, and the reason names the system', async () => {
  const { verdict, reason } = await judge('b8270000000f05c3', withJumpBack('b8270000000f05', 7));
  expect(verdict).toBe('not-judged');
  expect(reason).toMatch(/^"syscall" goes to the system, which no run can follow, with the address .* in rcx/);
});

test('C16: a syscall that stays where it is goes to the system from the same place, so that the hook is judged', async () => {
  // mov eax, 39; syscall; ret
  expect(await judge('b8270000000f05c3', withJumpBack('b827000000', 5))).toMatchObject({ verdict: 'equivalent' });
  expect(await judge('b8270000000f05c3', withJumpBack('b828000000', 5))).not.toMatchObject({ verdict: 'equivalent' });
  // mov r11, 0x10001000 before it: the system sees the spoiled register
  const spoiled = withJumpBack('b82700000049bb0010001000000000', 5);
  expect(await judge('b8270000000f05c3', spoiled)).not.toMatchObject({ verdict: 'equivalent' });
});

test('code that goes past the last address is an error', async () => {
  const place = { address: 0xffff_ffff_ffff_fff8n, bytes: bytesOfHex(FRAME) };
  const trampoline = { address: TRAMPOLINE, bytes: bytesOfHex(withJumpBack(FRAME, 8)) };
  const question = { function: place, patchLength: 5, trampoline };
  await expect(judgeHook(question)).rejects.toThrow('past the last address');
});

test('a branch that only the trampoline has, and that no state takes, keeps the verdict open', async () => {
  // pushf; push r11; lea r11, [rbx+rcx*2]; xor r11, rdx; cmp r11d, 0x12345678; jne +3; add ebx, 1; pop r11; popf
  const guarded = '9c41534c8d1c4b4931d34181fb78563412750383c301415b9d554889e54883ec10';
  const { verdict, reason } = await judge(FRAME, withJumpBack(guarded, 8));
  expect(verdict).toBe('not-judged');
  expect(reason).toMatch(/no state took the branch to 0x10004013/);
});
