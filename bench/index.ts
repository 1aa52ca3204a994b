// Runs every suite: `npm run bench`; with `-- --quick` only the results are checked, as in CI.
import { benchDispatch } from './dispatch.ts';
import { isMet, machineLine, printGoals } from './support/report.ts';

const quick = process.argv.includes('--quick');
const rows = await benchDispatch({ quick });
if (quick) {
  console.log('dispatch: all answers equal those of Map<bigint>');
} else {
  printGoals('dispatch against Map<bigint>, net of the empty loop', rows);
  console.log(machineLine());
  if (!rows.every(isMet)) process.exitCode = 1;
}
