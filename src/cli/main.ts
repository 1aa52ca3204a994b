#!/usr/bin/env node
// The command line: parses arguments, runs one command, and turns errors into one line and an exit status.
import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { TrampolineError } from '../errors.ts';
import { addBench } from './bench.ts';
import { addCheck } from './check.ts';
import { addInspect } from './inspect.ts';
import { addIsa } from './isa.ts';
import { addPlan } from './plan.ts';
import { addReport } from './report.ts';
import { addTrace } from './trace.ts';
import { addVerify } from './verify.ts';

/** The input or the usage is wrong. */
const WRONG_INPUT = 2;

const program = new Command('tramp64')
  .description(
    'Redirects calls in emulated x86_64 code the way Linux ftrace and livepatch do, and proves where each one arrives.',
  )
  .version(packageJson.version)
  .helpCommand(false)
  .showHelpAfterError('(try tramp64 --help)')
  .addHelpText(
    'after',
    '\nExit status: 0 all that was judged holds; 1 something is broken; 2 wrong input or usage; 3 nothing could be judged',
  )
  .exitOverride();
addVerify(program);
addInspect(program);
addIsa(program);
addTrace(program);
addPlan(program);
addCheck(program);
addReport(program);
addBench(program);
for (const command of program.commands.flatMap((one) => [one, ...one.commands])) {
  command.exitOverride().showHelpAfterError('(try tramp64 --help)');
}

// a reader that went away (`| head`) is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed its message; asking for help or the version is no mistake
    process.exitCode = error.exitCode === 0 ? 0 : WRONG_INPUT;
  } else if (error instanceof TrampolineError) {
    process.stderr.write(`tramp64: ${error.message}\n`);
    process.exitCode = WRONG_INPUT;
  } else {
    throw error;
  }
}
