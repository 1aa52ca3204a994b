// Reports for programs: plain objects for JSON.stringify; addresses and registers are 0x strings.
import { hex, hexBytes } from '../address.ts';
import type { ScenarioResult } from '../scenario/run.ts';
import type { ImageVerdict } from '../scenario/verify-image.ts';
import type { TracedCall } from './trace.ts';

/** A scenario's result, format `tramp64-result/1`. */
export function scenarioJson(result: ScenarioResult): object {
  return {
    format: 'tramp64-result/1',
    ok: result.ok,
    engine: result.engine,
    steps: result.steps.map(({ index, step, verdict, runs, returns, instructions, error, message }) => ({
      index,
      step,
      ok: verdict === 'holds',
      ...(runs === undefined ? {} : { runs }),
      ...(returns === undefined ? {} : { returns: hex(returns) }),
      ...(instructions === undefined ? {} : { instructions }),
      ...(error === undefined ? {} : { error }),
      message,
    })),
    summary: result.summary,
  };
}

/** An image's result, format `tramp64-image/1`. */
export function imageJson(result: ImageVerdict): object {
  return {
    format: 'tramp64-image/1',
    ok: result.ok,
    engine: result.engine,
    file: result.file,
    functions: result.functions.map(({ name, address, site, verdict, checks, instructions, reason }) => ({
      name,
      address: hex(address),
      site: site === undefined ? null : hex(site),
      verdict,
      checks,
      ...(instructions === undefined ? {} : { instructions }),
      ...(reason === '' ? {} : { reason }),
    })),
    undefinedSymbols: result.imports,
    summary: result.summary,
  };
}

/** Several results in one document, format `tramp64-verify/1`. */
export function totalJson(
  results: readonly { file: string; result: object }[],
  total: { judged: number; failed: number; notJudged: number },
): object {
  const ok = total.failed === 0 && total.judged > 0;
  return { format: 'tramp64-verify/1', ok, results, summary: total };
}

/** A traced call, format `tramp64-trace/1`. */
export function traceJson({ file, target, steps }: TracedCall): object {
  return {
    format: 'tramp64-trace/1',
    file,
    function: target,
    steps: steps.map(({ part, instruction, location }) => ({
      ip: hex(instruction.ip),
      part,
      location,
      bytes: hexBytes(instruction.bytes),
      text: instruction.text,
    })),
  };
}
