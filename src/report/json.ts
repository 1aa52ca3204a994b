// Reports for programs: plain objects for JSON.stringify; addresses and registers are 0x strings.
import { hex, hexBytes } from '../address.ts';
import type { Jury } from '../engine/confirm.ts';
import type { JointScenarioResult } from '../scenario/run-together.ts';
import type { JointImageVerdict } from '../scenario/verify-together.ts';
import type { TracedCall } from './trace.ts';

/** A scenario's result, format `tramp64-result/1`. */
export function scenarioJson(result: JointScenarioResult): object {
  return {
    format: 'tramp64-result/1',
    ok: result.ok,
    engine: result.engine,
    ...juryJson(result.jury),
    steps: result.steps.map(({ index, step, verdict, runs, returns, instructions, error, message, unconfirmed }) => ({
      index,
      step,
      ok: verdict === 'holds',
      ...(runs === undefined ? {} : { runs }),
      ...(returns === undefined ? {} : { returns: hex(returns) }),
      ...(instructions === undefined ? {} : { instructions }),
      ...(error === undefined ? {} : { error }),
      message,
      ...(unconfirmed === undefined ? {} : { unconfirmed }),
    })),
    summary: result.summary,
  };
}

/** An image's result, format `tramp64-image/1`. */
export function imageJson(result: JointImageVerdict): object {
  return {
    format: 'tramp64-image/1',
    ok: result.ok,
    engine: result.engine,
    ...juryJson(result.jury),
    file: result.file,
    functions: result.functions.map(({ name, address, site, verdict, checks, instructions, reason, unconfirmed }) => ({
      name,
      address: hex(address),
      site: site === undefined ? null : hex(site),
      verdict,
      checks,
      ...(instructions === undefined ? {} : { instructions }),
      ...(reason === '' ? {} : { reason }),
      ...(unconfirmed === undefined ? {} : { unconfirmed }),
    })),
    undefinedSymbols: result.imports,
    summary: result.summary,
  };
}

/** Several results in one document, format `tramp64-verify/1`. */
export function totalJson(
  results: readonly { file: string; result: object }[],
  total: { judged: number; failed: number; notJudged: number; unconfirmed?: number },
): object {
  const ok = total.failed === 0 && total.judged > 0;
  return { format: 'tramp64-verify/1', ok, results, summary: total };
}

/** Who judged together. */
function juryJson(jury: Jury | undefined): object {
  return jury === undefined ? {} : { engines: jury.engines, absent: jury.absent };
}

/** A traced call, format `tramp64-trace/1`. */
export function traceJson({ file, target, steps, together }: TracedCall): object {
  return {
    format: 'tramp64-trace/1',
    file,
    function: target,
    ...juryJson(together?.jury),
    ...(together === undefined ? {} : { differences: together.differences }),
    ...(together?.unconfirmed === undefined ? {} : { unconfirmed: together.unconfirmed }),
    steps: steps.map(({ part, instruction, location }) => ({
      ip: hex(instruction.ip),
      part,
      location,
      bytes: hexBytes(instruction.bytes),
      text: instruction.text,
    })),
  };
}
