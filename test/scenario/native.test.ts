// The same C gives the same results under a scenario as it gave on the bare CPU when the fixtures were built.
import { expect, test } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, runScenario } from '../../src/scenario/run.ts';
import { fixture, readManifest } from '../fixtures/manifest.ts';

const read: FileReader = async (path) => fixture(path);

/** Each case, called by the name of the original: patched where the case is about a new function. */
const cases = readManifest()
  .expected.filter(({ image }) => image !== 'fix_d')
  .map((one, i) => ({ ...one, title: `${i} ${one.image}:${one.function}` }));

test.each(cases)('$title', async ({ image, function: func, args, returns, rdx, memory }) => {
  const patched = image !== 'target';
  const oldName = patched ? func.replace(/^livepatch_/, '') : func;
  const text = JSON.stringify({
    format: 'tramp64-scenario/1',
    images: [
      { name: 'vmlinux', file: 'target-endbr-O2.o' },
      ...(patched ? [{ name: image, file: `${image}-endbr-O2.o` }] : []),
    ],
    patches: patched ? [{ name: image, objects: [{ name: null, funcs: [{ oldName, newFunc: func }] }] }] : [],
    steps: [
      ...(patched ? [{ enable: image }] : []),
      {
        call: oldName,
        args,
        runs: `${patched ? image : 'vmlinux'}:${func}`,
        returns,
        ...(rdx && { rdx }),
        ...(memory && { memory }),
      },
    ],
  });
  const { steps } = await runScenario(parseScenario(text), { read });
  expect(steps.filter((step) => step.verdict !== 'holds')).toEqual([]);
});

test('a new function that calls the original comes back to itself, until the stack is used up', async () => {
  const native = readManifest().expected.find(({ image }) => image === 'fix_d');
  const { function: func = '', args, returns } = native ?? {};
  const text = JSON.stringify({
    format: 'tramp64-scenario/1',
    images: [
      { name: 'vmlinux', file: 'target-endbr-O2.o' },
      { name: 'fix_d', file: 'fix_d-kernel-O2.o' },
    ],
    patches: [{ name: 'fix_d', objects: [{ name: null, funcs: [{ oldName: 'checksum', newFunc: func }] }] }],
    steps: [
      { note: 'not patched: it reaches the original', call: `fix_d:${func}`, args, returns },
      { enable: 'fix_d' },
      { call: 'checksum', args, fails: 'EFAULT' },
    ],
  });
  const { steps } = await runScenario(parseScenario(text), { read });
  expect(steps.map((step) => step.verdict)).toEqual(['holds', 'holds', 'holds']);
});
