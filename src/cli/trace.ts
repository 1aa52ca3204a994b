// `tramp64 trace`: one redirected call, instruction by instruction.
import { basename } from 'node:path';
import type { Command } from 'commander';
import { hex } from '../address.ts';
import { agree, type EngineChoice, isTogether, presentEngines } from '../engine/confirm.ts';
import type { EngineName } from '../engine/engine.ts';
import { EngineError, TrampolineError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import type { FunctionInfo } from '../image/sites.ts';
import { Machine } from '../machine.ts';
import { traceJson } from '../report/json.ts';
import { type TracedCall, traceText } from '../report/trace.ts';
import { PROBE_IMAGE, PROBES } from '../scenario/probes.ts';
import { loadUserImage } from '../scenario/user-image.ts';
import { enableProbe } from '../scenario/verify-image.ts';
import { decodeOne } from '../x86/decode.ts';
import { readInput } from './files.ts';
import { type MachineChoice, machineOptions, TOGETHER } from './options.ts';
import { paint, print, printJson } from './terminal.ts';
import { traceFinding } from './trace-finding.ts';

/** Adds the command to the program. */
export function addTrace(program: Command): void {
  const command = program
    .command('trace')
    .summary('show a redirected call instruction by instruction')
    .description('Patches FUNCTION with a probe, calls it, and shows each instruction with what it belongs to.')
    .argument('[FILE]', 'ELF object, module, executable or shared object')
    .argument('[FUNCTION]', 'a function with a site; NAME,N where the file has several of that name')
    .option('--finding <RESULT.json#ID>', 'step through a finding that `check --json` has printed, instead')
    .option('--json', 'print one JSON document');
  type Options = MachineChoice<EngineChoice> & { json?: boolean; finding?: string };
  machineOptions(command, TOGETHER).action(
    async (file: string | undefined, func: string | undefined, options: Options) => {
      const { json, finding, ...choice } = options;
      if (finding !== undefined) {
        if (file !== undefined) throw usage('--finding takes the place of FILE and FUNCTION');
        if (isTogether(choice.engine)) throw usage(`--finding runs on one engine, '${choice.engine}' is several`);
        return traceFinding(finding, choice.engine ?? 'unicorn', json === true);
      }
      if (file === undefined || func === undefined)
        throw usage('name a FILE and a FUNCTION, or --finding RESULT.json#ID');
      const bytes = await readInput(file);
      const { engine, ...machine } = choice;
      const traceOn = (name: EngineName | undefined): Promise<TracedCall> =>
        traceFile({ file, func, bytes, machine: name === undefined ? machine : { ...machine, engine: name } });
      const traced = isTogether(engine) ? await traceTogether(engine, traceOn) : await traceOn(engine);
      if (json === true) printJson(traceJson(traced));
      else print(traceText(traced, paint));
      if (traced.together !== undefined && traced.together.differences.length > 0) process.exitCode = 1;
    },
  );
}

async function traceFile({
  file,
  func,
  bytes,
  machine: choice,
}: {
  file: string;
  func: string;
  bytes: Uint8Array;
  machine: MachineChoice;
}): Promise<TracedCall> {
  const machine = await Machine.create(choice);
  try {
    const name = basename(file) === PROBE_IMAGE ? `${PROBE_IMAGE}.o` : basename(file);
    const { image } = loadUserImage(machine, bytes, name);
    return trace(machine, file, needTraceable(image, func));
  } finally {
    machine.dispose();
  }
}

/** Traces on each engine; the first that comes to the end leads, and each instruction must be the same on the others. */
async function traceTogether(
  choice: 'all' | 'auto',
  traceOn: (name: EngineName) => Promise<TracedCall>,
): Promise<TracedCall> {
  const jury = await presentEngines(choice);
  const traces = new Map<EngineName, TracedCall>();
  const refusals = new Map<EngineName, EngineError>();
  for (const name of jury.engines) {
    try {
      traces.set(name, await traceOn(name));
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== 'EOPNOTSUPP') throw error;
      refusals.set(name, error);
    }
  }
  const [leader] = traces.values();
  if (leader === undefined) throw refusals.values().next().value;
  const { differences, unconfirmed } = agree(
    jury.engines.map((engine) => {
      const steps = traces.get(engine)?.steps;
      return {
        engine,
        verdict: steps === undefined ? 'not judged' : 'traced',
        facts: {
          ...Object.fromEntries(
            (steps ?? []).map(({ part, instruction }, i) => [`step ${i + 1}`, `${part} ${hex(instruction.ip)}`]),
          ),
          steps: steps?.length,
        },
        reason: refusals.get(engine)?.message ?? '',
        doubtful: false,
      };
    }),
  );
  // after the first one, all that follows is another path
  return {
    ...leader,
    together: { jury, differences: differences.slice(0, 1), ...(unconfirmed === undefined ? {} : { unconfirmed }) },
  };
}

function usage(fact: string): TrampolineError {
  return new TrampolineError('EINVAL', fact, { operation: 'trace' });
}

function trace(machine: Machine, file: string, info: FunctionInfo): TracedCall {
  enableProbe(machine, info, PROBES[0]);
  const steps: TracedCall['steps'][number][] = [];
  for (const { ip, part, location } of machine.trace(info.address)) {
    const instruction = decodeOne(codeAt(machine, ip), ip);
    const offset = location.offset === 0n ? '' : `+${hex(location.offset)}`;
    // a trampoline has no symbol; its address stands in its own column
    steps.push({ part, instruction, location: part === 'trampoline' ? '' : `${location.name}${offset}` });
  }
  return { file, target: info.name, steps };
}

/** Up to 15 bytes of code, fewer at the end of the mapped pages. */
function codeAt(machine: Machine, ip: bigint): Uint8Array {
  const left = Number(0x1000n - (ip & 0xfffn));
  try {
    return machine.read(ip, 15);
  } catch {
    return machine.read(ip, Math.min(left, 15));
  }
}

function needTraceable(image: LoadedImage, name: string): FunctionInfo {
  const fail = (code: 'ENOENT' | 'EINVAL' | 'ENODEV', fact: string): TrampolineError =>
    new TrampolineError(code, fact, { operation: 'trace' });
  const exact = image.functions.find((info) => info.name === name);
  if (exact === undefined) {
    const same = image.functions.filter((info) => info.symbol.name === name).map((info) => info.name);
    if (same.length > 0) throw fail('EINVAL', `'${name}' is ambiguous; name one of ${same.join(', ')}`);
    throw fail('ENOENT', `'${image.name}' has no function '${name}'; \`tramp64 inspect\` lists them`);
  }
  if (exact.site === undefined) throw fail('ENODEV', `'${name}' cannot be patched: ${exact.reason}`);
  return exact;
}
