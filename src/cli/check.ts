// `tramp64 check`: judges hooks, moved blocks, trampolines, patch protocols and sites, one by one or from a file of cases.
import { Argument, type Command, Option } from 'commander';
import { bytesOfHex, address as checkedAddress } from '../address.ts';
import { BUILD_OPTIONS, type BuildOptions } from '../check/build-rules.ts';
import { type CaseResult, documentOf, named } from '../check/cases.ts';
import type { EngineMaker } from '../check/execute.ts';
import type { Judgement } from '../check/finding.ts';
import { judgeFree } from '../check/free.ts';
import { type HookQuestion, judgeHook } from '../check/hook.ts';
import { type Confirmation, callJury } from '../check/jury.ts';
import { judgePoke } from '../check/poke.ts';
import { type PokeStep, PROTOCOLS, type Protocol } from '../check/poke-protocol.ts';
import { judgeRelocation } from '../check/relocation.ts';
import { judgeSite, SITE_KINDS, type SiteKind } from '../check/site.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../check/trampoline.ts';
import type { EngineChoice } from '../engine/confirm.ts';
import { TrampolineError } from '../errors.ts';
import { type CheckFilesOptions, checkFiles } from './check-files.ts';
import { type OutputChoice, outputOptions, report } from './check-output.ts';
import { TOGETHER } from './options.ts';
import { type Place, place, usage } from './place.ts';
import { MAX_JOBS } from './pool.ts';

const BITNESS = ['16', '32', '64'];

interface Output extends OutputChoice {
  engine: EngineChoice;
  strict?: boolean;
}

/** Adds the command and its subcommands to the program. */
export function addCheck(program: Command): void {
  const check = program
    .command('check')
    .summary('judge trampoline bytes: hooks, moved blocks, trampolines, pokes, sites')
    .description(
      'Judges byte sequences. A place is ADDRESS:BYTES with BYTES as hex or @FILE, or\nFILE.o:FUNCTION, also with an offset (FILE.o:FUNCTION+0x10).',
    )
    .argument('[FILES...]', 'ELF objects, whose entries and sites are judged, and files of cases')
    .option('--cases <FILE...>', 'judge every case of redirect-cases/1 or hook-cases/1 files')
    .option('--shard <i/n>', 'judge the i-th of n equal parts of the cases')
    .option('--jobs <n>', `worker processes for FILES and --cases, at most ${MAX_JOBS} (default: the processors)`)
    .option('--strict', 'exit with 3 when anything was not judged')
    .action(async (files: string[], options: CheckFilesOptions, command: Command) => {
      const all = [...(options.cases ?? []), ...files];
      if (all.length === 0) command.help({ error: true });
      else process.exitCode = await checkFiles(all, options);
    });
  outputOptions(check);
  check.addOption(
    new Option('--engine <name>', `the CPU; all: ${TOGETHER.all}; auto: ${TOGETHER.auto}`)
      .choices(['unicorn', 'unicorn-native', 'wasm', ...Object.keys(TOGETHER)])
      .default('unicorn'),
  );

  check
    .command('hook')
    .summary('a function, the patch over its start, and its trampoline')
    .requiredOption('--function <place>', 'the original function')
    .requiredOption('--trampoline <place>', 'the relocated prologue with its jump back')
    .option('--patch-length <bytes>', 'bytes that the patch takes', '5')
    .option('--patch <hex>', 'what the tool writes over the start, as hex or @FILE')
    .option('--restored <hex>', 'what stands at the start after unhooking')
    .option('--replacement <place>', 'the code that the hook leads to: is its recursion guarded?')
    .addOption(buildOption())
    .addOption(new Option('--bitness <bits>').choices(['32', '64']).default('64'))
    .action((_: unknown, command: Command) => {
      const options = command.optsWithGlobals<HookOptions>();
      return judged('hook', options, (engines) =>
        judgeHook(
          {
            function: options.functionPlace,
            trampoline: options.trampolinePlace,
            patchLength: count(options.patchLength),
            bitness: options.bitness === '32' ? 32 : 64,
            ...options.more,
          },
          engines,
        ),
      );
    })
    .hook('preAction', async (_, command) => {
      const options = command.opts<HookOptions>();
      command.setOptionValue('functionPlace', await place(options.function));
      command.setOptionValue('trampolinePlace', await place(options.trampoline));
      const [patch, restored] = [await plainBytes(options.patch), await plainBytes(options.restored)];
      command.setOptionValue('more', {
        ...(patch === undefined ? {} : { patch }),
        ...(restored === undefined ? {} : { restored }),
        ...(options.replacement === undefined ? {} : { replacement: await place(options.replacement) }),
        ...(options.build === undefined ? {} : { build: buildFrom(options.build) }),
      });
    });

  check
    .command('relocation')
    .summary('a block moved from one address to another')
    .requiredOption('--from <place>', 'the original block')
    .requiredOption('--to <place>', 'the moved block')
    .addOption(new Option('--bitness <bits>').choices(BITNESS).default('64'))
    .option('--amd', 'read 66-prefixed branches as AMD does')
    .option('--exact', 'what is not relative must be copied byte for byte')
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<RelocationOptions>();
      const from = await place(options.from);
      const to = await place(options.to);
      await judged('relocation', options, (engines) =>
        judgeRelocation(
          {
            ...from,
            newAddress: to.address,
            output: to.bytes,
            bitness: bits(options.bitness),
            amd: options.amd === true,
            exact: options.exact === true,
          },
          engines,
        ),
      );
    });

  addTrampoline(check);
  addPoke(check);
  addFree(check);

  check
    .command('site')
    .summary(`bytes at a site, by the rules of a kind: ${SITE_KINDS.join(', ')}`)
    .argument('<kind>', 'what the bytes should be')
    .argument('<place>', 'ADDRESS:BYTES or FILE.o:FUNCTION')
    .addOption(new Option('--bitness <bits>').choices(BITNESS).default('64'))
    .option('--offset <bytes>', 'offset of the entry or site in the bytes')
    .option('--length <bytes>', 'judge only so many of the bytes')
    .option('--tail', 'static-call-site: a tail call')
    .action(async (kind: string, text: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<SiteOptions>();
      if (!(SITE_KINDS as readonly string[]).includes(kind)) {
        throw new TrampolineError('EINVAL', `no kind '${kind}'; use ${SITE_KINDS.join(', ')}`, { operation: 'check' });
      }
      const { address, bytes } = await place(text);
      const answer = judgeSite(kind as SiteKind, {
        address,
        bytes: options.length === undefined ? bytes : bytes.subarray(0, count(options.length)),
        bitness: bits(options.bitness),
        ...(options.offset === undefined ? {} : { offset: count(options.offset) }),
        ...(options.tail === undefined ? {} : { tail: options.tail }),
      });
      const broken = answer.findings.some((item) => item.level === 'error');
      report(documentOf([result('site', kind, answer.outcome, answer.reason, answer.findings)]), options);
      process.exitCode = broken ? 1 : 0;
    });
}

function addTrampoline(check: Command): void {
  check
    .command('trampoline')
    .summary('bytes that must act as an ftrace trampoline')
    .addArgument(new Argument('<kind>', 'what it saves').choices(['args', 'regs']))
    .argument('<place>', 'ADDRESS:BYTES or FILE.o:FUNCTION')
    .requiredOption('--handler <address>', 'what it must call')
    .requiredOption('--ops <value>', 'what the handler must find in rdx')
    .option('--thunk <address>', 'the return thunk that it jumps to')
    .addOption(new Option('--kernel <version>').choices(['6.1', '6.12']).default('6.12'))
    .option('--direct', 'it calls the address left in orig_rax')
    .option('--no-redirect', 'no handler changes ip')
    .addOption(buildOption())
    .action(async (kind: string, text: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<TrampolineOptions>();
      const question: TrampolineQuestion = {
        ...(await place(text)),
        kind: kind === 'args' ? 'args' : 'regs',
        kernel: options.kernel === '6.1' ? '6.1' : '6.12',
        handler: value(options.handler),
        ops: value(options.ops),
        ...(options.thunk === undefined ? {} : { returnThunk: value(options.thunk) }),
        direct: options.direct === true,
        redirects: options.redirect,
        ...(options.build === undefined ? {} : { build: buildFrom(options.build) }),
      };
      await judged('trampoline', options, (engines) => judgeTrampoline(question, engines));
    });
}

function addPoke(check: Command): void {
  check
    .command('poke')
    .summary('old bytes, new bytes and a patch protocol, on every CPU')
    .argument('<place>', 'ADDRESS:OLD, or FILE.o:FUNCTION for its first bytes')
    .argument('<new>', 'the new bytes: hex or @FILE')
    .addOption(new Option('--protocol <name>', 'a known protocol').choices([...PROTOCOLS]).default('int3'))
    .option(
      '--steps <list>',
      'the steps one by one: handler,0=cc,sync,1=fb0f0000,sync,0=e8!,sync,clear; ! is one store',
    )
    .action(async (text: string, newText: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<PokeOptions>();
      const { address, bytes, ofSymbol } = await place(text);
      const { bytes: newBytes } = await place(`0:${newText}`);
      const oldBytes = ofSymbol === true ? bytes.subarray(0, newBytes.length) : bytes;
      const protocol = options.steps === undefined ? (options.protocol as Protocol) : stepsFrom(options.steps);
      await judged('poke', options, (engines) => judgePoke({ address, oldBytes, newBytes, protocol }, engines));
    });
}

function addFree(check: Command): void {
  check
    .command('free')
    .summary('may a trampoline be freed while these tasks run?')
    .argument('<place>', 'ADDRESS:BYTES or FILE.o:FUNCTION')
    .requiredOption('--task <list...>', "a task's ip and the words on its stack: 0x401000,0x402010")
    .action(async (text: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<Output & { task: string[] }>();
      const tasks = options.task.map((list) => {
        const [ip = 0n, ...stack] = list.split(',').map(value);
        return { ip, stack };
      });
      const { address, bytes } = await place(text);
      await judged('free', options, async () => judgeFree({ address, bytes, tasks }));
    });
}

function buildOption(): Option {
  return new Option('--build <list...>', 'how the code around was built').choices([...BUILD_OPTIONS]);
}

function buildFrom(names: readonly string[]): BuildOptions {
  return Object.fromEntries(names.map((name) => [name, true]));
}

async function plainBytes(text: string | undefined): Promise<Uint8Array | undefined> {
  return text === undefined ? undefined : (await place(`0:${text}`)).bytes;
}

function stepsFrom(text: string): PokeStep[] {
  return text.split(',').map((word): PokeStep => {
    if (word === 'sync') return { sync: true };
    if (word === 'handler' || word === 'clear') return { handler: word === 'handler' };
    const [, offset, bytes, single] = /^(\d{1,2})=((?:[0-9a-fA-F]{2})+)(!?)$/.exec(word) ?? [];
    if (offset === undefined || bytes === undefined) {
      throw usage(`step '${word.slice(0, 40)}' must be handler, clear, sync, or OFFSET=BYTES such as 0=cc`);
    }
    return { store: { offset: Number(offset), bytes: bytesOfHex(bytes), single: single === '!' } };
  });
}

function value(text: string): bigint {
  if (!/^(0x[0-9a-fA-F]{1,16}|\d{1,20})$/.test(text)) throw usage(`'${text.slice(0, 40)}' must be a 64-bit value`);
  return checkedAddress(BigInt(text), 'value');
}

interface TrampolineOptions extends Output {
  handler: string;
  ops: string;
  thunk?: string;
  kernel: string;
  direct?: boolean;
  redirect: boolean;
  build?: string[];
}

interface PokeOptions extends Output {
  protocol: string;
  steps?: string;
}

interface HookOptions extends Output {
  function: string;
  trampoline: string;
  patchLength: string;
  patch?: string;
  restored?: string;
  replacement?: string;
  build?: string[];
  more: Pick<HookQuestion, 'patch' | 'restored' | 'replacement' | 'build'>;
  bitness: string;
  functionPlace: Place;
  trampolinePlace: Place;
}

interface RelocationOptions extends Output {
  from: string;
  to: string;
  bitness: string;
  amd?: boolean;
  exact?: boolean;
}

interface SiteOptions extends Output {
  length?: string;
  bitness: string;
  offset?: string;
  tail?: boolean;
}

async function judged(
  kind: string,
  options: Output,
  judge: (engines: EngineMaker) => Promise<Judgement>,
): Promise<void> {
  const jury = callJury(options.engine);
  try {
    const { verdict, reason, findings, ...confirmation } = await jury.ask(judge);
    report(documentOf([{ ...result(kind, kind, verdict, reason, findings), ...confirmation }]), options);
    process.exitCode = statusOf(verdict, confirmation, options.strict === true);
  } catch (error) {
    // what no judge can take, such as code that does not end before the last address
    throw error instanceof RangeError ? usage(error.message) : error;
  } finally {
    jury.dispose();
  }
}

function statusOf(verdict: string, { differences, unconfirmed }: Confirmation, strict: boolean): number {
  if (verdict === 'broken' || differences !== undefined) return 1;
  return verdict === 'not-judged' || (strict && unconfirmed !== undefined) ? 3 : 0;
}

function result(
  id: string,
  kind: string,
  verdict: string,
  reason: string,
  findings: Judgement['findings'],
): CaseResult {
  return { id, kind, verdict, expected: null, agrees: true, reason, findings: named(id, findings) };
}

function count(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw usage(`'${text}' must be a count of bytes`);
  return Number(text);
}

function bits(text: string): 16 | 32 | 64 {
  return text === '16' ? 16 : text === '32' ? 32 : 64;
}
