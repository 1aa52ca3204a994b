// How long from `import` to the first verified redirected call, in fresh processes of the built package.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PACKAGE = new URL('../../dist/index.js', import.meta.url);
const EXAMPLES = new URL('../../src/examples/', import.meta.url);

/** Prints milliseconds; anything but the patched function's arrival and result is an error. */
function script(engine: string): string {
  return `
    import { readFileSync } from 'node:fs';
    const files = ['target.o', 'fix-a.o'].map((name) => readFileSync(new URL(name, ${JSON.stringify(EXAMPLES.href)})));
    const start = performance.now();
    const { Machine } = await import(${JSON.stringify(PACKAGE.href)});
    const machine = await Machine.create({ engine: '${engine}', trampoline: 'regs' });
    machine.load(files[0], { name: 'vmlinux' });
    machine.load(files[1], { name: 'fix_a', kind: 'livepatch' });
    const funcs = [{ oldName: 'checksum', newFunc: 'livepatch_checksum' }];
    machine.livepatch.enable({ name: 'fix_a', objects: [{ name: null, funcs }] });
    const { runs } = machine.call('checksum', ['hello', 5n]);
    const end = performance.now();
    if (runs.name !== 'fix_a:livepatch_checksum') throw new Error('the call arrived at ' + runs.name);
    console.log(end - start);
    machine.dispose();
  `;
}

/**
 * Milliseconds of one fresh process.
 * @throws {Error} the package is not built, or the call did not arrive
 */
export function coldCall(engine: 'wasm' | 'unicorn'): number {
  if (!existsSync(fileURLToPath(PACKAGE))) throw new Error('dist/ is not there: npm run build');
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script(engine)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return Number(output);
}
