// Every fixture object is verified: whatever the compiler makes of an entry, a patched call reaches the top.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadImageBytes } from '../../src/image/load.ts';
import { verifyImage } from '../../src/scenario/verify-image.ts';
import { fixture, OBJECTS } from '../fixtures/manifest.ts';

/** Functions that have a site, by the loader alone. */
function traceable(bytes: Uint8Array, name: string): string[] {
  const image = loadImageBytes(bytes, name, { base: 0xffffffff81000000n, unresolved: 'leave' });
  return image.functions.filter((info) => info.site !== undefined && info.symbol.size > 0n).map(({ name: one }) => one);
}

describe('every fixture object', () => {
  test.each(readdirSync(OBJECTS))('each function of %s with a site holds', async (name) => {
    const bytes = fixture(name);
    const wanted = traceable(bytes, name);
    const result = await verifyImage(bytes, name);
    expect(result.functions.filter((one) => one.verdict === 'broken')).toEqual([]);
    expect(result.functions.filter((one) => one.verdict === 'holds').map((one) => one.name)).toEqual(wanted);
    expect(result.summary.notJudged).toBe(result.functions.length - wanted.length);
    expect(result.ok).toBe(wanted.length > 0);
  });
});
