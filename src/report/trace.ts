// A traced call, instruction by instruction: what each one belongs to, where it stands, what it says.
import { hex, hexBytes } from '../address.ts';
import type { Jury } from '../engine/confirm.ts';
import type { TraceStep } from '../machine.ts';
import type { Instruction } from '../x86/decode.ts';
import { count, type Paint, plain, table } from './table.ts';
import { juryText } from './text.ts';

/** One traced instruction. */
export interface TracedInstruction {
  readonly part: TraceStep['part'];
  readonly instruction: Instruction;
  /** `image:symbol+0x5`. */
  readonly location: string;
}

/** A traced call. */
export interface TracedCall {
  readonly file: string;
  readonly target: string;
  readonly steps: readonly TracedInstruction[];
  /** Where several engines traced it: who did, in what they differ, and why it rests on one of them alone. */
  readonly together?: { readonly jury: Jury; readonly differences: readonly string[]; readonly unconfirmed?: string };
}

/** The trace as a table, and how many instructions each part took. */
export function traceText({ steps, together }: TracedCall, paint: Paint = plain): string {
  const rows = steps.map(({ part, instruction, location }) => [
    part,
    hex(instruction.ip),
    location,
    part === 'gate' ? '' : hexBytes(instruction.bytes),
    part === 'gate' ? 'asks the core where to go' : instruction.text,
  ]);
  const parts = new Map<string, number>();
  for (const { part } of steps) if (part !== 'gate') parts.set(part, (parts.get(part) ?? 0) + 1);
  const lines = table(['part', 'address', 'where', 'bytes', 'instruction'], rows, [], paint);
  const shares = [...parts].map(([part, number]) => `${number} ${part}`).join(', ');
  const total = [...parts.values()].reduce((sum, number) => sum + number, 0);
  const said = [
    ...juryText(together?.jury),
    ...(together?.differences ?? []).map((fact) => `${paint('bad', 'the engines differ')}: ${fact}`),
    ...(together?.unconfirmed === undefined ? [] : [`unconfirmed: ${together.unconfirmed}`]),
  ];
  return [...lines, `${count(total, 'instruction')}: ${shares}`, ...said].join('\n');
}
