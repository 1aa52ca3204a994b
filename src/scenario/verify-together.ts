// Every function of an image on several engines: a difference between two of them breaks the function.

import { agree, type EngineChoice, isTogether, type Jury, presentEngines, type Testimony } from '../engine/confirm.ts';
import type { EngineName } from '../engine/engine.ts';
import { type FunctionVerdict, type ImageVerdict, type VerifyImageOptions, verifyImage } from './verify-image.ts';

/** A function that several engines judged. */
export interface JointFunctionVerdict extends FunctionVerdict {
  /** Why one engine alone stands for it. */
  readonly unconfirmed?: string;
}

/** What was found out about an image; with `jury` where several engines ran it. */
export interface JointImageVerdict extends Omit<ImageVerdict, 'engine' | 'functions' | 'summary'> {
  readonly engine: EngineChoice;
  readonly jury?: Jury;
  readonly functions: readonly JointFunctionVerdict[];
  readonly summary: ImageVerdict['summary'] & { readonly unconfirmed?: number };
}

/**
 * Verifies an ELF file as `verifyImage`, on one engine or on several.
 * @throws as `verifyImage`
 */
export async function verifyTogether(
  bytes: Uint8Array,
  name: string,
  options: Omit<VerifyImageOptions, 'engine'> & { readonly engine?: EngineChoice } = {},
): Promise<JointImageVerdict> {
  const { engine: choice, ...rest } = options;
  if (!isTogether(choice))
    return verifyImage(bytes, name, { ...rest, ...(choice === undefined ? {} : { engine: choice }) });
  const jury = await presentEngines(choice);
  const images: ImageVerdict[] = [];
  for (const engine of jury.engines) images.push(await verifyImage(bytes, name, { ...rest, engine }));
  const [first] = images;
  if (first === undefined) throw new Error('no engine is present');
  const count = Math.max(...images.map(({ functions }) => functions.length));
  const functions = Array.from({ length: count }, (_, i) => joint(images, jury.engines, i));
  const number = (verdict: FunctionVerdict['verdict']) => functions.filter((one) => one.verdict === verdict).length;
  const summary = {
    ...first.summary,
    holds: number('holds'),
    failed: number('broken'),
    notJudged: number('not judged'),
    unconfirmed: functions.filter((one) => one.unconfirmed !== undefined).length,
  };
  const ok = summary.failed === 0 && summary.holds > 0;
  return { ...first, engine: choice, jury, functions, ok, summary };
}

/** The function at `index` of every engine's list. */
function joint(images: readonly ImageVerdict[], engines: readonly EngineName[], index: number): JointFunctionVerdict {
  const found: FunctionVerdict[] = [];
  const testimonies: Testimony[] = [];
  for (const [i, engine] of engines.entries()) {
    const one = images[i]?.functions[index];
    // the text of the whole image is listed only where it was changed
    if (one === undefined) continue;
    const { name, verdict, checks, instructions, reason } = one;
    const facts = { function: name, checks, plain: instructions?.plain, patched: instructions?.patched };
    found.push(one);
    testimonies.push({ engine, verdict, facts, reason, doubtful: false });
  }
  const { leader, differences, unconfirmed } = agree(testimonies);
  const result = found[leader] as FunctionVerdict;
  if (differences.length > 0)
    return { ...result, verdict: 'broken', reason: `engines differ: ${differences.join('; ')}` };
  return unconfirmed === undefined ? result : { ...result, unconfirmed };
}
