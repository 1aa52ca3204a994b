// `tramp64 report merge`: joins the results of CI machines that worked side by side.
import type { Command } from 'commander';
import { checkDocumentOf, mergeDocuments, type NamedDocument } from '../check/merge.ts';
import { type OutputChoice, outputOptions, report, totalOf } from './check-output.ts';
import { readJson } from './files.ts';
import { exitStatus } from './options.ts';

/** Adds the command to the program. */
export function addReport(program: Command): void {
  const merge = program
    .command('report')
    .summary('join the results of several runs of check')
    .description('Works on the JSON documents that `check --json` prints.')
    .command('merge')
    .summary('join shards into the document of one run')
    .description(
      'Joins the documents of `check --shard i/n --json` into what one run prints; other documents one after the other.\nPrints JSON unless told otherwise; the exit status is that of the whole.',
    )
    .argument('<FILES...>', 'results of `tramp64 check --json`')
    .option('--strict', 'exit with 3 when anything was not judged');
  outputOptions(merge).action(async (files: string[], options: OutputChoice & { strict?: boolean }) => {
    const parts: NamedDocument[] = [];
    for (const file of files) parts.push({ file, document: checkDocumentOf(await readJson(file, 'merge'), file) });
    const document = mergeDocuments(parts);
    const { sarif, junit } = options;
    report(document, sarif === true || junit === true ? options : { json: true });
    process.exitCode = exitStatus(totalOf(document), options.strict === true);
  });
}
