// `tramp64 check`: judges hooks, moved blocks, trampolines, patch protocols and sites, one by one or from a file of cases.
import { Argument, type Command, Option } from 'commander';
import { bytesOfHex, address as checkedAddress } from '../address.ts';
import { type CaseResult, casesOf, documentOf, judgeCase, named } from '../check/cases.ts';
import { keepEngines } from '../check/engines.ts';
import type { Judgement } from '../check/finding.ts';
import { judgeHook } from '../check/hook.ts';
import { judgePoke } from '../check/poke.ts';
import { type PokeStep, PROTOCOLS, type Protocol } from '../check/poke-protocol.ts';
import { judgeRelocation } from '../check/relocation.ts';
import { judgeSite, SITE_KINDS, type SiteKind } from '../check/site.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../check/trampoline.ts';
import { TrampolineError } from '../errors.ts';
import { checkText } from '../report/check.ts';
import { readInput, readJson } from './files.ts';
import { exitStatus, type Total } from './options.ts';
import { paint, print, printJson, progress } from './terminal.ts';

const BITNESS = ['16', '32', '64'];

interface Output {
  json?: boolean;
  strict?: boolean;
}

/** Adds the command and its subcommands to the program. */
export function addCheck(program: Command): void {
  const check = program
    .command('check')
    .summary('judge trampoline bytes: hooks, moved blocks, trampolines, pokes, sites')
    .description('Judges byte sequences. Places are ADDRESS:BYTES; BYTES is hex or @FILE.')
    .option('--cases <FILE>', 'judge every case of a redirect-cases/1 or hook-cases/1 file')
    .option('--shard <i/n>', 'judge the i-th of n equal parts of the cases')
    .option('--json', 'print one JSON document')
    .option('--strict', 'exit with 3 when anything was not judged')
    .action(async (options: Output & { cases?: string; shard?: string }, command: Command) => {
      if (options.cases === undefined) command.help({ error: true });
      else process.exitCode = await checkCases(options.cases, options.shard, options);
    });

  check
    .command('hook')
    .summary('a function, the patch over its start, and its trampoline')
    .requiredOption('--function <place>', 'the original function')
    .requiredOption('--trampoline <place>', 'the relocated prologue with its jump back')
    .option('--patch-length <bytes>', 'bytes that the patch takes', '5')
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
          },
          engines,
        ),
      );
    })
    .hook('preAction', async (_, command) => {
      const options = command.opts<HookOptions>();
      command.setOptionValue('functionPlace', await place(options.function));
      command.setOptionValue('trampolinePlace', await place(options.trampoline));
    });

  check
    .command('relocation')
    .summary('a block moved from one address to another')
    .requiredOption('--from <place>', 'the original block')
    .requiredOption('--to <place>', 'the moved block')
    .addOption(new Option('--bitness <bits>').choices(BITNESS).default('64'))
    .option('--amd', 'read 66-prefixed branches as AMD does')
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
          },
          engines,
        ),
      );
    });

  addTrampoline(check);
  addPoke(check);

  check
    .command('site')
    .summary(`bytes at a site, by the rules of a kind: ${SITE_KINDS.join(', ')}`)
    .argument('<kind>', 'what the bytes should be')
    .argument('<place>', 'ADDRESS:BYTES')
    .addOption(new Option('--bitness <bits>').choices(BITNESS).default('64'))
    .option('--offset <bytes>', 'offset of the entry or site in the bytes')
    .option('--tail', 'static-call-site: a tail call')
    .action(async (kind: string, text: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<SiteOptions>();
      if (!(SITE_KINDS as readonly string[]).includes(kind)) {
        throw new TrampolineError('EINVAL', `no kind '${kind}'; use ${SITE_KINDS.join(', ')}`, { operation: 'check' });
      }
      const answer = judgeSite(kind as SiteKind, {
        ...(await place(text)),
        bitness: bits(options.bitness),
        ...(options.offset === undefined ? {} : { offset: count(options.offset) }),
        ...(options.tail === undefined ? {} : { tail: options.tail }),
      });
      const broken = answer.findings.some((item) => item.level === 'error');
      report([result('site', kind, answer.outcome, answer.reason, answer.findings)], options);
      process.exitCode = broken ? 1 : 0;
    });
}

function addTrampoline(check: Command): void {
  check
    .command('trampoline')
    .summary('bytes that must act as an ftrace trampoline')
    .addArgument(new Argument('<kind>', 'what it saves').choices(['args', 'regs']))
    .argument('<place>', 'ADDRESS:BYTES')
    .requiredOption('--handler <address>', 'what it must call')
    .requiredOption('--ops <value>', 'what the handler must find in rdx')
    .option('--thunk <address>', 'the return thunk that it jumps to')
    .addOption(new Option('--kernel <version>').choices(['6.1', '6.12']).default('6.12'))
    .option('--direct', 'it calls the address left in orig_rax')
    .option('--no-redirect', 'no handler changes ip')
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
      };
      await judged('trampoline', options, (engines) => judgeTrampoline(question, engines));
    });
}

function addPoke(check: Command): void {
  check
    .command('poke')
    .summary('old bytes, new bytes and a patch protocol, on every CPU')
    .argument('<place>', 'ADDRESS:OLD')
    .argument('<new>', 'the new bytes: hex or @FILE')
    .addOption(new Option('--protocol <name>', 'a known protocol').choices([...PROTOCOLS]).default('int3'))
    .option(
      '--steps <list>',
      'the steps one by one: handler,0=cc,sync,1=fb0f0000,sync,0=e8!,sync,clear; ! is one store',
    )
    .action(async (text: string, newText: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<PokeOptions>();
      const { address, bytes: oldBytes } = await place(text);
      const { bytes: newBytes } = await place(`0:${newText}`);
      const protocol = options.steps === undefined ? (options.protocol as Protocol) : stepsFrom(options.steps);
      await judged('poke', options, (engines) => judgePoke({ address, oldBytes, newBytes, protocol }, engines));
    });
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
}

interface PokeOptions extends Output {
  protocol: string;
  steps?: string;
}

interface HookOptions extends Output {
  function: string;
  trampoline: string;
  patchLength: string;
  bitness: string;
  functionPlace: Place;
  trampolinePlace: Place;
}

interface RelocationOptions extends Output {
  from: string;
  to: string;
  bitness: string;
  amd?: boolean;
}

interface SiteOptions extends Output {
  bitness: string;
  offset?: string;
  tail?: boolean;
}

interface Place {
  address: bigint;
  bytes: Uint8Array;
}

async function checkCases(file: string, shard: string | undefined, options: Output): Promise<number> {
  const cases = shardOf(casesOf(await readJson(file, 'check'), file), shard);
  const keeper = keepEngines();
  const bar = progress('cases');
  const results: CaseResult[] = [];
  try {
    for (const [i, raw] of cases.entries()) {
      results.push(await judgeCase(raw, keeper.engines));
      bar.update(i + 1, cases.length);
    }
  } finally {
    bar.end();
    keeper.dispose();
  }
  report(results, options);
  return exitStatus(totalOf(results), options.strict === true);
}

/** A case fails where our verdict is not the expected one; what was not judged is counted on its own. */
function totalOf(results: readonly CaseResult[]): Total {
  const notJudged = results.filter((item) => item.verdict === 'not-judged').length;
  const failed = results.filter((item) => !item.agrees && item.verdict !== 'not-judged').length;
  return { judged: results.length - notJudged, failed, notJudged };
}

async function judged(
  kind: string,
  options: Output,
  judge: (engines: ReturnType<typeof keepEngines>['engines']) => Promise<Judgement>,
): Promise<void> {
  const keeper = keepEngines();
  try {
    const { verdict, reason, findings } = await judge(keeper.engines);
    report([result(kind, kind, verdict, reason, findings)], options);
    process.exitCode = verdict === 'broken' ? 1 : verdict === 'not-judged' ? 3 : 0;
  } finally {
    keeper.dispose();
  }
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

function report(results: readonly CaseResult[], options: Output): void {
  const document = documentOf(results);
  if (options.json === true) printJson(document);
  else print(checkText(document, paint));
}

/** The cases at i, i + n, i + 2n … (i from 1), so that the parts take about the same time. */
function shardOf<T>(cases: readonly T[], shard: string | undefined): readonly T[] {
  if (shard === undefined) return cases;
  const [, part = '', parts = ''] = /^(\d{1,4})\/(\d{1,4})$/.exec(shard) ?? [];
  const i = Number(part);
  const n = Number(parts);
  if (n < 1 || i < 1 || i > n) throw usage(`--shard '${shard}' must read i/n with i from 1 to n`);
  return cases.filter((_, index) => index % n === i - 1);
}

async function place(text: string): Promise<Place> {
  const colon = text.indexOf(':');
  if (colon < 0) throw usage(`'${text.slice(0, 40)}' must read ADDRESS:BYTES`);
  try {
    const address = checkedAddress(BigInt(text.slice(0, colon)), 'address');
    const bytes = text.slice(colon + 1);
    return { address, bytes: bytes.startsWith('@') ? await readInput(bytes.slice(1)) : bytesOfHex(bytes) };
  } catch (cause) {
    if (cause instanceof TrampolineError) throw cause;
    throw usage(`'${text.slice(0, 40)}' must read ADDRESS:BYTES, such as 0x401000:0f1f440000`);
  }
}

function count(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw usage(`'${text}' must be a count of bytes`);
  return Number(text);
}

function bits(text: string): 16 | 32 | 64 {
  return text === '16' ? 16 : text === '32' ? 32 : 64;
}

function usage(fact: string): TrampolineError {
  return new TrampolineError('EINVAL', fact, { operation: 'check' });
}
