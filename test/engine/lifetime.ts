// Run in a process of its own with --expose-gc: opens and closes many machines, then too many, and prints what happened.
import { createUnicorn } from '../../src/engine/unicorn.ts';

const PAGE = 0x1000n;

async function useOne(): Promise<void> {
  const engine = await createUnicorn();
  engine.map(PAGE, PAGE, 'rwx');
  engine.map(0xffffffff81000000n, PAGE, 'rwx');
  engine.write(PAGE, Uint8Array.of(0x48, 0xff, 0xc0));
  engine.setGate(0xffffffff81000000n, () => undefined);
  // As many runs as a small verification has: the JavaScript engine has then compiled what it compiles by machine 100.
  for (let call = 0; call < 20; call++) {
    engine.run({ from: PAGE, until: PAGE + 3n, budget: 10, onMemory: () => undefined });
  }
  engine.dispose();
}

/** Resident bytes after a collection. */
function resident(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().rss;
}

async function main(): Promise<void> {
  let at100 = 0;
  for (let machine = 1; machine <= 1000; machine++) {
    await useOne();
    if (machine === 100) at100 = resident();
  }
  const grown = resident() - at100;

  const open: Awaited<ReturnType<typeof createUnicorn>>[] = [];
  const refusals = new Set<unknown>();
  for (let machine = 0; machine < 200; machine++) {
    try {
      open.push(await createUnicorn());
    } catch (error) {
      refusals.add(error instanceof Error && 'code' in error ? `${error.name} ${error.code}` : String(error));
    }
  }
  let working = 0;
  for (const engine of open) {
    engine.map(PAGE, PAGE, 'rx');
    engine.write(PAGE, Uint8Array.of(0x48, 0xff, 0xc0));
    if (engine.run({ from: PAGE, until: PAGE + 3n, budget: 10 }).reason === 'until') working++;
  }
  for (const engine of open) engine.dispose();
  await useOne();
  console.log(
    JSON.stringify({ grown, open: open.length, working, refusals: [...refusals], exitCode: process.exitCode }),
  );
}

await main();
