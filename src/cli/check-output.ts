// How the results of `check` are printed: text, JSON, SARIF or JUnit XML.
import { type Command, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { type CheckDocument, isFailure } from '../check/cases.ts';
import { checkText } from '../report/check.ts';
import { checkJunit } from '../report/junit.ts';
import { checkSarif } from '../report/sarif.ts';
import type { Total } from './options.ts';
import { paint, print, printJson } from './terminal.ts';

/** What the user chose; text if nothing. */
export interface OutputChoice {
  json?: boolean;
  sarif?: boolean;
  junit?: boolean;
}

/** Adds `--json`, `--sarif` and `--junit`. */
export function outputOptions(command: Command): Command {
  return command
    .addOption(new Option('--json', 'print one JSON document (tramp64-check/1)').conflicts(['sarif', 'junit']))
    .addOption(new Option('--sarif', 'print SARIF 2.1.0').conflicts(['json', 'junit']))
    .addOption(new Option('--junit', 'print JUnit XML').conflicts(['json', 'sarif']));
}

/**
 * Prints a document.
 *
 * @param file what was judged, where it was one file
 */
export function report(document: CheckDocument, { json, sarif, junit }: OutputChoice, file?: string): void {
  if (json === true) printJson(document);
  else if (sarif === true) {
    printJson(checkSarif(document, { version: packageJson.version, ...(file === undefined ? {} : { file }) }));
  } else if (junit === true) print(checkJunit(document));
  else print(checkText(document, paint));
}

/** What the exit status is made of. */
export function totalOf({ cases }: CheckDocument): Total {
  const notJudged = cases.filter(({ verdict }) => verdict === 'not-judged').length;
  const unconfirmed = cases.filter((item) => item.unconfirmed !== undefined).length;
  return { judged: cases.length - notJudged, failed: cases.filter(isFailure).length, notJudged, unconfirmed };
}
