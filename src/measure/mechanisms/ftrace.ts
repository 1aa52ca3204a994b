// The rows of ftrace: tracers that visit a function on its way, each with the kernel's own trampolines.
import { Ops } from '../../ftrace/ops.ts';
import type { KernelVersion } from '../../ftrace/trampoline.ts';
import type { Mechanism } from '../mechanism.ts';
import { makeMachine } from './machine.ts';

const KINDS = ['args', 'regs'] as const;
/** A handler that returns at once. */
const TRACER = 'fix:trace_nothing';

/** ftrace as one kernel does it. */
export function ftraceRows(kernel: KernelVersion): Mechanism[] {
  return KINDS.map(
    (kind): Mechanism => ({
      id: `ftrace-${kind}`,
      family: 'ftrace',
      effect: 'visit',
      title: `one ops, ${kind} trampoline`,
      note: 'the handler returns at once',
      make: (engine) =>
        makeMachine(engine, {
          kernel,
          handler: 'guest',
          reaches: TRACER,
          patch: (machine, site) =>
            machine.ftrace.register(
              new Ops({
                ...{ name: 'hot', filter: [site], func: machine.address(TRACER) },
                flags: kind === 'regs' ? ['SAVE_REGS'] : [],
              }),
            ),
        }),
    }),
  );
}
