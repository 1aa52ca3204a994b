// `tramp64 inspect`: the functions of an object file, their sites and their entries. No CPU is involved.
import { basename } from 'node:path';
import type { Command } from 'commander';
import { loadImageBytes } from '../image/load.ts';
import { GUEST_MAP } from '../machine/guest-map.ts';
import { inspectJson, inspectText } from '../report/inspect.ts';
import { readInput } from './files.ts';
import { paint, print, printJson } from './terminal.ts';

/** Adds the command to the program. */
export function addInspect(program: Command): void {
  program
    .command('inspect')
    .summary('list the functions of an object file, their sites and entry bytes')
    .description(
      'Lists every function: its address, its site, its entry disassembled, and whether it can be patched or why not.',
    )
    .argument('<FILE>', 'ELF object, module, executable or shared object')
    .option('--json', 'print one JSON document')
    .action(async (file: string, options: { json?: boolean }) => {
      const image = loadImageBytes(await readInput(file), basename(file), {
        base: GUEST_MAP.kernelText.base,
        unresolved: 'leave',
      });
      if (options.json === true) printJson(inspectJson(image));
      else print(inspectText(image, paint));
    });
}
