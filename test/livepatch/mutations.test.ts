// The table of seeded defects fits the sources, and defects are found, or reported as missed; all of them: `npm run mutate:livepatch`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Mutant, mutated } from './mutate.ts';
import { MUTATIONS } from './mutations.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

test('there are thirty defects or more, and each applies to the sources as they are, once', () => {
  expect(MUTATIONS.length).toBeGreaterThanOrEqual(30);
  expect(new Set(MUTATIONS.map(({ defect }) => defect)).size).toBe(MUTATIONS.length);
  for (const mutation of MUTATIONS) {
    const text = readFileSync(ROOT + mutation.file, 'utf8');
    expect(mutated(text, mutation), mutation.defect).not.toBe(text);
  }
});

test('a defect whose place is gone is an error, not a defect that is found', () => {
  const [mutation] = MUTATIONS;
  if (mutation !== undefined) expect(() => mutated('other text', mutation)).toThrow(/does not apply/);
});

test('a seeded defect is found, and the sources are as they were', async () => {
  const mutation = MUTATIONS.find(({ defect }) => defect.startsWith('nops are kept'));
  if (mutation === undefined) throw new Error('the mutation is gone');
  const before = readFileSync(ROOT + mutation.file, 'utf8');
  const mutant = new Mutant();
  try {
    expect(await mutant.findsBy(mutation)).toBe('sequences');
    expect(readFileSync(`${mutant.folder}/${mutation.file}`, 'utf8')).toBe(before);
  } finally {
    mutant.dispose();
  }
  expect(readFileSync(ROOT + mutation.file, 'utf8')).toBe(before);
});
