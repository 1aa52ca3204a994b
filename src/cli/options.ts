// Options that several commands share.
import { type Command, Option } from 'commander';
import type { EngineName } from '../engine/engine.ts';
import type { HandlerKind } from '../ftrace/guest/handlers.ts';
import type { KernelVersion, TrampolineKind } from '../ftrace/trampoline.ts';

/** Options that choose the machine. */
export interface MachineChoice<Engines = EngineName> {
  engine?: Engines;
  kernel?: KernelVersion;
  trampoline?: TrampolineKind;
  handler?: HandlerKind;
}

/** The engines that a command may run on. */
const ENGINES: readonly EngineName[] = ['unicorn', 'unicorn-native', 'wasm'];

/** The choices of `--engine` that are several engines. */
export const TOGETHER: Readonly<Record<'all' | 'auto', string>> = {
  all: 'every engine that is here, and a difference fails',
  auto: 'wasm, confirmed on unicorn as far as that is trusted',
};

/** Adds `--engine`, `--kernel`, `--trampoline` and `--handler`. @param together choices of several engines */
export function machineOptions(command: Command, together: Readonly<Record<string, string>> = {}): Command {
  const more = Object.entries(together).map(([name, what]) => `; ${name}: ${what}`);
  return command
    .addOption(
      new Option('--engine <name>', `the CPU (default: unicorn)${more.join('')}`).choices([
        ...ENGINES,
        ...Object.keys(together),
      ]),
    )
    .addOption(
      new Option('--kernel <version>', 'the kernel whose trampolines are used (default: 6.12)').choices([
        '6.1',
        '6.12',
      ]),
    )
    .addOption(
      new Option('--trampoline <kind>', 'args, as livepatch uses since 5.11 (default), or regs').choices([
        'args',
        'regs',
      ]),
    )
    .addOption(
      new Option(
        '--handler <kind>',
        'core: the dispatcher behind the gate (default), or guest: klp_ftrace_handler as guest code',
      ).choices(['core', 'guest']),
    );
}

/** What was judged, over all inputs of a command. */
export interface Total {
  judged: number;
  failed: number;
  notJudged: number;
  /** What one engine alone stands for, where several were to judge. */
  unconfirmed?: number;
}

/**
 * 0 all that was judged holds · 1 something is broken · 3 nothing could be judged, or with `strict` not everything was
 * judged and confirmed.
 */
export function exitStatus({ judged, failed, notJudged, unconfirmed = 0 }: Total, strict: boolean): number {
  if (failed > 0) return 1;
  return judged === 0 || (strict && notJudged + unconfirmed > 0) ? 3 : 0;
}
