// The rows of ftrace: tracers that visit a function on its way, with the kernel's trampolines, list func and graph code.
import { SiteError } from '../../errors.ts';
import { Ops, type OpsFlag } from '../../ftrace/ops.ts';
import type { KernelVersion } from '../../ftrace/trampoline.ts';
import type { Machine } from '../../machine.ts';
import type { Mechanism } from '../mechanism.ts';
import { livepatch, makeMachine, REPLACEMENT } from './machine.ts';

/** A handler that returns at once, and a direct trampoline that calls it. */
const TRACER = 'fix:trace_nothing';
const DIRECT = 'fix:direct_trampoline';
const PROBE = 'fix:probe';
const FUNCTION = 'vmlinux:hot';

interface Row {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly reaches?: string;
  readonly patch: (machine: Machine) => unknown;
}

/** Users of a function whose handlers return at once; no counting of ours stands before them. */
export function addOps(machine: Machine, count: number, { flags = [] as OpsFlag[], on = FUNCTION } = {}): void {
  const site = machine.images.site(machine.address(on));
  if (site === undefined) throw new SiteError('ENODEV', `'${on}' has no site`, { operation: 'measure', address: 0n });
  for (let i = 0; i < count; i++) {
    machine.ftrace.register(
      new Ops({ name: `ops${i} of ${on}`, filter: [site], func: machine.address(TRACER), flags }),
    );
  }
}

const ROWS: readonly Row[] = [
  {
    id: 'ftrace-args',
    title: 'one ops, args trampoline',
    note: 'the handler returns at once',
    patch: (machine) => addOps(machine, 1),
  },
  {
    id: 'ftrace-regs',
    title: 'one ops, regs trampoline',
    note: 'SAVE_REGS; the handler returns at once',
    patch: (machine) => addOps(machine, 1, { flags: ['SAVE_REGS'] }),
  },
  {
    id: 'ftrace-elsewhere',
    title: 'one ops, five on other functions',
    note: 'what is traced elsewhere costs nothing here',
    patch: (machine) => {
      addOps(machine, 1);
      addOps(machine, 5, { on: 'vmlinux:cold' });
    },
  },
  {
    id: 'ftrace-two',
    title: 'two ops, list func',
    note: 'the common caller and the list func',
    patch: (machine) => addOps(machine, 2),
  },
  { id: 'ftrace-ten', title: 'ten ops, list func', patch: (machine) => addOps(machine, 10) },
  {
    id: 'ftrace-direct',
    title: 'direct call',
    note: 'the site calls the direct trampoline itself',
    patch: (machine) => machine.tracers.add({ name: 'direct', kind: 'direct', filter: [FUNCTION], target: DIRECT }),
  },
  {
    id: 'ftrace-direct-ops',
    title: 'direct call beside an ops',
    note: 'by the common caller and orig_rax',
    patch: (machine) => {
      addOps(machine, 1);
      machine.tracers.add({ name: 'direct', kind: 'direct', filter: [FUNCTION], target: DIRECT });
    },
  },
  {
    id: 'ftrace-graph',
    title: 'function graph, entry and return',
    note: 'the return is hooked through return_to_handler',
    patch: (machine) =>
      machine.tracers.add({
        name: 'graph',
        kind: 'graph',
        filter: [FUNCTION],
        target: 'fix:graph_entry',
        postTarget: TRACER,
      }),
  },
  {
    id: 'ftrace-kprobe',
    title: 'kprobe on the site',
    reaches: PROBE,
    patch: (machine) => machine.tracers.add({ name: 'probe', kind: 'kprobe', filter: [FUNCTION], target: PROBE }),
  },
  {
    id: 'livepatch-traced',
    title: 'livepatch and one ops, list func',
    reaches: REPLACEMENT,
    patch: (machine) => {
      livepatch(machine);
      addOps(machine, 1);
    },
  },
];

/** ftrace as one kernel does it, handlers and list func as guest code. */
export function ftraceRows(kernel: KernelVersion): Mechanism[] {
  return ROWS.map(
    ({ id, title, note, patch, reaches = TRACER }): Mechanism => ({
      id,
      family: reaches === REPLACEMENT ? 'livepatch' : 'ftrace',
      effect: reaches === REPLACEMENT ? 'redirect' : 'visit',
      title,
      ...(note === undefined ? {} : { note }),
      make: (engine) => makeMachine(engine, { kernel, handler: 'guest', reaches, patch }),
    }),
  );
}
