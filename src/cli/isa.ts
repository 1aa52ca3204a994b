// `tramp64 isa`: the instruction set of the WASM CPU, read from its opcode tables, with the evidence for each row.
import type { Command } from 'commander';
import { isaEntries, isaJson, isaText, thinEntries } from '../report/isa.ts';
import { Isa } from '../wasm/isa.ts';
import { paint, print, printJson } from './terminal.ts';

/** Adds the command to the program. */
export function addIsa(program: Command): void {
  program
    .command('isa')
    .summary('list the instruction set of the WASM CPU, with the evidence for each row')
    .description(
      'Lists every row of the opcode tables of the engine "wasm", and in how many cases it did what the bare CPU (or the manual) says. A row with fewer than 50 cases fails.',
    )
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const entries = isaEntries((await Isa.create()).rows);
      if (options.json === true) printJson(isaJson(entries));
      else print(isaText(entries, paint));
      if (thinEntries(entries).length > 0) process.exitCode = 1;
    });
}
