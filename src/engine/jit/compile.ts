// A trace as a WebAssembly module.
import { I32, moduleOf } from './code.ts';
import { IMPORTS, type Layout } from './layout.ts';
import { type Body, NO_FACTS, type Trace, translate } from './translate.ts';

/** A module with the function `trace`, from what is left of the budget to what is left after it. */
export interface CompiledTrace {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Instructions that the budget must hold. */
  readonly longest: number;
  /** It goes round by itself. */
  readonly loops: boolean;
}

const SIGNATURE = { parameters: [I32], results: [I32] } as const;
/** The function that reaches the frame through the TLB, after the imports and the one that is exported. */
const SLOW = IMPORTS.length + 1;

/**
 * Compiles a trace: the function that reaches the stack frame by one address, and the one that takes over where it cannot.
 *
 * @returns undefined where its first instruction cannot be translated
 */
export function compile(trace: Trace, layout: Layout): CompiledTrace | undefined {
  const direct = bodyOf(trace, layout, true);
  if (direct === undefined) return undefined;
  const slow = direct.high > direct.low ? bodyOf(trace, layout, false) : undefined;
  const bodies = slow === undefined ? [direct] : [direct, slow];
  const bytes = moduleOf(
    IMPORTS,
    SIGNATURE,
    bodies.map(({ code }) => code.finish()),
  );
  return { bytes, longest: direct.longest, loops: direct.loops };
}

/** Translates twice: what the first pass learns, the second one needs at its beginning. */
function bodyOf(trace: Trace, layout: Layout, direct: boolean): Body | undefined {
  const facts = translate(trace, layout, NO_FACTS, direct, SLOW);
  return facts && translate(trace, layout, facts, direct, SLOW);
}
