// Livepatch modules in C: their own struct klp_patch, and what a scenario makes of it.
import { describe, expect, test } from 'vitest';
import { ScenarioError } from '../../src/errors.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { catchError } from '../support/catch-error.ts';
import { holds, runs } from './livepatch-world.ts';

const imports = { klp_enable_patch: 'ret', _printk: 'ret' };
const image = { name: 'lp_fix', file: 'lp_fix.ko', kind: 'livepatch', symbols: imports };

describe('"from": "struct"', () => {
  test('enables what the module’s struct says', () =>
    holds(
      [
        { enable: 'lp_fix' },
        runs('checksum', 'lp_fix:livepatch_checksum'),
        { stack: 'checksum', is: ['lp_fix'] },
        { state: 7, of: 'lp_fix', version: 3 },
        { sysfs: 'lp_fix/replace', reads: '1' },
        { sysfs: 'lp_fix/odd/helper,2', mode: 'drwxr-xr-x' },
        { disable: 'lp_fix' },
        runs('checksum', 'vmlinux:checksum'),
      ],
      { images: [image], patches: [{ name: 'lp_fix', from: 'struct' }] },
    ));

  test('may name the symbol, and then it must be there', () =>
    holds([{ enable: 'here' }, { disable: 'here' }, { enable: 'gone', fails: 'ENOENT' }], {
      images: [image],
      patches: [
        { name: 'here', image: 'lp_fix', from: 'struct', symbol: 'patch' },
        { name: 'gone', image: 'lp_fix', from: 'struct', symbol: 'patches' },
      ],
    }));

  test('has no objects beside it, and no other source', () => {
    const read = (patch: object) =>
      catchError(ScenarioError, () =>
        parseScenario(
          JSON.stringify({
            format: 'tramp64-scenario/1',
            images: [{ name: 'a', file: 'a.ko' }],
            patches: [{ name: 'a', ...patch }],
            steps: [],
          }),
        ),
      ).jsonPath;
    expect(read({ from: 'struct', objects: [] })).toBe('$.patches[0].objects');
    expect(read({ from: 'file' })).toBe('$.patches[0].from');
  });
});
