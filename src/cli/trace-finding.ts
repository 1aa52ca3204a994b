// `tramp64 trace --finding RESULT.json#ID`: steps through what a judge has found, up to the first difference.
import { findingIn } from '../check/read-replay.ts';
import { stepThrough } from '../check/step-through.ts';
import { createEngine } from '../engine/create.ts';
import type { EngineName } from '../engine/engine.ts';
import { TrampolineError } from '../errors.ts';
import { findingTraceJson, findingTraceText } from '../report/finding-trace.ts';
import { readJson } from './files.ts';
import { paint, print, printJson } from './terminal.ts';

/**
 * Prints the trace.
 *
 * @throws {TrampolineError} EINVAL not FILE#ID, or the file is no result of `check` · ENOENT no such file or finding
 */
export async function traceFinding(place: string, name: EngineName, json: boolean): Promise<void> {
  const hash = place.indexOf('#');
  if (hash < 1 || hash === place.length - 1) {
    throw new TrampolineError('EINVAL', `'${place.slice(0, 80)}' must read RESULT.json#ID`, { operation: 'trace' });
  }
  const file = place.slice(0, hash);
  const finding = findingIn(await readJson(file, 'trace'), place.slice(hash + 1), file);
  const engine = await createEngine(name);
  try {
    const stepped = stepThrough(finding.replay, engine);
    if (json) printJson(findingTraceJson(finding, stepped));
    else print(findingTraceText(finding, stepped, paint));
  } finally {
    engine.dispose();
  }
}
