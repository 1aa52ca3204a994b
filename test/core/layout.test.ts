// The structs in WASM memory can be indexed by the host's views, and both builds lay them out alike.
import { expect, test } from 'vitest';
import { readLayout } from '../../src/core/layout.ts';
import { makeInstance } from './subjects.ts';

test('every stride is a multiple of 8, so that a BigUint64Array can index the pools', async () => {
  const { siteStride, funcStride, taskStride } = readLayout((await makeInstance('release')).exports);
  for (const stride of [siteStride, funcStride, taskStride]) {
    expect(stride).toBeGreaterThan(0);
    expect(stride % 8).toBe(0);
  }
});

test('two slots of the site table fill a cache line', async () => {
  const instance = await makeInstance('release');
  expect(readLayout(instance.exports).siteStride).toBe(32);
  instance.exports.init(1, 1, 1);
  expect(instance.exports.used() % 64).toBe(0);
});

test('the counters are one cache line, each in its own word', async () => {
  const { counters, counter } = readLayout((await makeInstance('release')).exports);
  expect(counters % 64).toBe(0);
  expect(Object.values(counter).sort((x, y) => x - y)).toEqual([0, 8, 16, 24, 32, 40, 48, 56]);
});

test('both builds have one layout', async () => {
  const [release, debug] = [await makeInstance('release'), await makeInstance('debug')];
  expect(readLayout(debug.exports)).toMatchObject({
    ...readLayout(release.exports),
    counters: expect.any(Number),
    answer: expect.any(Number),
  });
});
