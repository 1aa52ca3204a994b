// The stack of a task is walked from every instruction between a site and what runs, whoever shares the site (F24, F26, F47).
import { expect, test } from 'vitest';
import type { TracerWorld as World } from './tracer-world.ts';
import { TracerWorld } from './tracer-world.ts';

const FILTER = { filter: ['checksum'] };

/** Code that has no frames: the direct trampoline of the fixture; and return_to_handler, which has none in a kernel. */
const NO_FRAMES = /^unwind: '(t|handlers)' has no call frame information/;

const USERS: Readonly<Record<string, (world: World) => void>> = {
  'the common caller of two ops': ({ machine }) => {
    machine.tracers.add({ name: 'a', ...FILTER, target: 't:on_a' });
    machine.tracers.add({ name: 'b', ...FILTER, target: 't:on_b' });
  },
  'the regs caller, a livepatch and a direct call': (world) => {
    world.machine.tracers.add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one', opsFunc: () => 0 });
    world.patch('a');
  },
  'function graph': ({ machine }) => {
    machine.tracers.add({ name: 'g', kind: 'graph', ...FILTER, target: 't:graph_entry', postTarget: 't:graph_return' });
  },
};

test.each(
  Object.keys(USERS).flatMap((users) =>
    (['6.1', '6.12'] as const).flatMap((kernel) =>
      (['core', 'guest'] as const).map((handler) => ({ users, kernel, handler })),
    ),
  ),
)('by way of $users, kernel $kernel, handler $handler (F24, F26, F47)', async ({ users, kernel, handler }) => {
  const world = await TracerWorld.make({ engine: 'wasm', kernel, handler });
  const { machine } = world;
  USERS[users]?.(world);
  const unreliable: string[] = [];
  let reliable = 0;
  for (const { ip, part } of machine.trace('vmlinux:checksum', ['hello', 5n])) {
    const reason = machine.stackTrace('init')?.unreliable;
    if (reason === undefined) reliable++;
    else if (!NO_FRAMES.test(reason)) unreliable.push(`${part} ${ip.toString(16)}: ${reason}`);
  }
  expect(unreliable).toEqual([]);
  expect(reliable).toBeGreaterThan(100);
  machine.dispose();
});
