// A finding stepped through: both sides instruction by instruction with what each one changes, and the first difference.
import { hex, hexBytes } from '../address.ts';
import type { StoredFinding } from '../check/read-replay.ts';
import type { ReplayRun, ReplayStep, SteppedReplay } from '../check/step-through.ts';
import { type Paint, plain, table } from './table.ts';

/** More steps than this are shown by their first and last ones. */
const SHOWN = 120;

/** The trace as text. */
export function findingTraceText(finding: StoredFinding, stepped: SteppedReplay, paint: Paint = plain): string {
  const { original, judged, difference, differsAt, ran } = stepped;
  const lines = [`${finding.id}: ${finding.rule} ${finding.name}: ${finding.message}`, ''];
  if (original !== undefined) lines.push(paint('bold', 'original'), ...sideLines(original, undefined, paint), '');
  const mark = ran ? differsAt : judged.steps.findIndex(({ ip }) => hex(ip) === finding.address);
  lines.push(paint('bold', original === undefined ? 'judged' : 'moved'), ...sideLines(judged, mark, paint), '');
  lines.push(lastLine(finding, stepped, difference));
  return lines.join('\n');
}

function lastLine(finding: StoredFinding, { ran, original }: SteppedReplay, difference: string | undefined): string {
  if (!ran) return `listed, not run: ${finding.rule} is decided by rule, no state shows it`;
  if (original === undefined) return `ends here: ${finding.message}`;
  if (difference === undefined) return 'no difference on this engine';
  return `first difference: ${difference}`;
}

function sideLines({ steps, ends }: ReplayRun, mark: number | undefined, paint: Paint): string[] {
  const rows = steps.map(({ ip, bytes, text, changed }, i) => [
    i === mark ? '>' : '',
    hex(ip),
    hexBytes(bytes),
    text,
    changes(changed),
  ]);
  const lines = table(['', 'address', 'bytes', 'instruction', 'changes'], rows, [], paint);
  if (rows.length <= SHOWN) return [...lines, ends];
  const half = SHOWN / 2;
  const left = `… ${rows.length - SHOWN} more instructions …`;
  return [...lines.slice(0, half + 1), left, ...lines.slice(-half), ends];
}

/** `rax=0x1 [0x7ff030007ff8..+8]=0807…`: bytes in a row are shown as one. */
function changes(changed: ReplayStep['changed']): string {
  const words: string[] = [];
  const runs: { address: bigint; bytes: number[] }[] = [];
  for (const [name, value] of Object.entries(changed)) {
    if (!name.startsWith('[')) {
      words.push(`${name}=${value}`);
      continue;
    }
    const address = BigInt(name.slice(1, -1));
    const last = runs.at(-1);
    if (last !== undefined && last.address + BigInt(last.bytes.length) === address) last.bytes.push(Number(value));
    else runs.push({ address, bytes: [Number(value)] });
  }
  return [...words, ...runs.map(({ address, bytes }) => `[${hex(address)}]=${hexBytes(Uint8Array.from(bytes))}`)].join(
    ' ',
  );
}

/** The trace for programs, format `tramp64-finding-trace/1`. */
export function findingTraceJson(finding: StoredFinding, stepped: SteppedReplay): object {
  const { original, judged, difference, differsAt, ran } = stepped;
  return {
    format: 'tramp64-finding-trace/1',
    finding: finding.id,
    rule: finding.rule,
    message: finding.message,
    ran,
    ...(original === undefined ? {} : { original: sideJson(original) }),
    judged: sideJson(judged),
    difference: difference ?? null,
    ...(differsAt === undefined ? {} : { differsAt }),
  };
}

function sideJson({ steps, ends }: ReplayRun): object {
  return {
    steps: steps.map(({ ip, bytes, text, changed }) => ({ ip: hex(ip), bytes: hexBytes(bytes), text, changed })),
    ends,
  };
}
