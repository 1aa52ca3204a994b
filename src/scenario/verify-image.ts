// Verifies every traceable function of an image on the CPU: plain, patched, three times patched, and every removal order.
import { hex, hexBytes } from '../address.ts';
import type { EngineName } from '../engine/engine.ts';
import { TrampolineError } from '../errors.ts';
import type { HandlerKind } from '../ftrace/guest/handlers.ts';
import { SITE_SIZE } from '../ftrace/site.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import type { LoadedImage } from '../image/image.ts';
import type { FunctionInfo } from '../image/sites.ts';
import { Machine, type MachineOptions } from '../machine.ts';
import { describePlace, describeStack } from './names.ts';
import { PROBE_IMAGE, PROBES } from './probes.ts';
import { isNotJudged, type Verdict } from './run.ts';
import { loadUserImage } from './user-image.ts';

/** What was found out about one function. */
export interface FunctionVerdict {
  readonly name: string;
  readonly address: bigint;
  readonly site: bigint | undefined;
  readonly verdict: Verdict;
  /** Calls whose arrival was read off the CPU. */
  readonly checks: number;
  /** Instructions from the function's entry to the arrival, plain and patched. */
  readonly instructions: { readonly plain: number; readonly patched: number } | undefined;
  /** Why it is broken or not judged; empty where it holds. */
  readonly reason: string;
}

/** What was found out about an image. */
export interface ImageVerdict {
  readonly file: string;
  readonly engine: EngineName;
  readonly functions: readonly FunctionVerdict[];
  /** Undefined symbols of the file; they lead to unmapped addresses, as no body runs. */
  readonly imports: readonly string[];
  /** Nothing is broken and something was judged. */
  readonly ok: boolean;
  readonly summary: {
    readonly functions: number;
    readonly checks: number;
    readonly holds: number;
    readonly failed: number;
    readonly notJudged: number;
  };
}

/** How to verify. */
export interface VerifyImageOptions {
  readonly engine?: EngineName;
  readonly kernel?: MachineOptions['kernel'];
  readonly trampoline?: TrampolineKind;
  readonly handler?: HandlerKind;
  /** Told of each function as it is done. */
  readonly onFunction?: (done: number, total: number) => void;
}

/**
 * Verifies an ELF file of any origin. Bodies never run: each call stops where it arrives.
 *
 * @param name how messages call the file
 * @throws {ImageError} the file cannot be loaded
 * @throws {EngineError} as `Machine.create`
 */
export async function verifyImage(
  bytes: Uint8Array,
  name: string,
  options: VerifyImageOptions = {},
): Promise<ImageVerdict> {
  const { engine, kernel, trampoline, handler, onFunction } = options;
  const machine = await Machine.create({
    ...(engine === undefined ? {} : { engine }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(trampoline === undefined ? {} : { trampoline }),
    ...(handler === undefined ? {} : { handler }),
  });
  try {
    // `probes` is the one name that is taken
    const { image, imports } = loadUserImage(machine, bytes, name === PROBE_IMAGE ? `${name}.o` : name);
    return { ...verifyFunctions(machine, image, onFunction), file: name, imports };
  } finally {
    machine.dispose();
  }
}

/**
 * Verifies the functions of an image that is loaded as vmlinux, with the probes loaded beside it (see loadUserImage).
 */
export function verifyFunctions(
  machine: Machine,
  image: LoadedImage,
  onFunction?: VerifyImageOptions['onFunction'],
): Omit<ImageVerdict, 'file' | 'imports'> {
  const before = textOf(machine, image);
  const functions: FunctionVerdict[] = [];
  image.functions.forEach((info, i) => {
    functions.push(verifyFunction(machine, info));
    onFunction?.(i + 1, image.functions.length);
  });
  const after = textOf(machine, image);
  const holds = functions.filter((one) => one.verdict === 'holds').length;
  const broken = functions.filter((one) => one.verdict === 'broken').length;
  const textChanged = before.some((text, i) => text !== after[i]);
  if (textChanged && broken === 0) functions.push(changedText(image));
  const failed = textChanged && broken === 0 ? 1 : broken;
  return {
    engine: machine.engine.name,
    functions,
    ok: failed === 0 && holds > 0,
    summary: {
      functions: image.functions.length,
      checks: functions.reduce((sum, one) => sum + one.checks, 0),
      holds,
      failed,
      notJudged: functions.filter((one) => one.verdict === 'not judged').length,
    },
  };
}

/** The six orders in which three patches can be removed. */
const ORDERS: readonly (readonly string[])[] = PROBES.flatMap((a) =>
  PROBES.filter((b) => b !== a).flatMap((b) => PROBES.filter((c) => c !== a && c !== b).map((c) => [a, b, c])),
);

/** A check that does not hold; ends the function's checks. */
class Broken extends Error {}

function verifyFunction(machine: Machine, info: FunctionInfo): FunctionVerdict {
  const head = { name: info.name, address: info.address, site: info.site?.address };
  const none = { ...head, verdict: 'not judged', checks: 0, instructions: undefined } as const;
  if (info.site === undefined) return { ...none, reason: info.reason ?? 'no site' };
  if (info.symbol.size === 0n) return { ...none, reason: 'its symbol has no size, so livepatch refuses it (L18)' };
  const site = info.site.address;
  const original = hexBytes(machine.read(info.address, info.size));
  let checks = 0;
  const push = (probe: string): void => enableProbe(machine, info, probe);
  // the expected top is known from the order of enabling alone; func stacks are not asked
  const check = (when: string, stack: readonly string[]): number => {
    const top = stack.at(-1);
    const wanted = top === undefined ? site + BigInt(SITE_SIZE) : machine.address(`${PROBE_IMAGE}:${top}`);
    const arrival = machine.probe(info.address);
    checks++;
    if (arrival.address !== wanted) {
      const expected = top ?? `the original at ${hex(wanted)}`;
      const got = describePlace(machine, arrival.address);
      throw new Broken(`${when}: expected ${expected}, got ${got}; func stack: ${describeStack(machine, site)}`);
    }
    if (arrival.changed.length > 0) throw new Broken(`${when}: ${arrival.changed.join(', ')} arrived changed (I3)`);
    if (!arrival.returnsToCaller) throw new Broken(`${when}: the return address is not the caller's (I3)`);
    return arrival.instructions;
  };
  const restored = (when: string): void => {
    if (hexBytes(machine.read(info.address, info.size)) === original) return;
    throw new Broken(`${when}: the text is not as it was (I4)`);
  };
  const [a, b, c] = PROBES;
  try {
    const plain = check('unpatched', []);
    push(a);
    const patched = check('one patch', [a]);
    machine.livepatch.disable(a);
    restored('one patch removed');
    for (const order of ORDERS) {
      for (const probe of [a, b, c]) push(probe);
      check('three patches', [a, b, c]);
      let stack: string[] = [a, b, c];
      for (const probe of order) {
        machine.livepatch.disable(probe);
        stack = stack.filter((one) => one !== probe);
        check(`after removing ${order.slice(0, 3 - stack.length).join(', ')}`, stack);
      }
      restored(`after removing ${order.join(', ')}`);
    }
    return { ...head, verdict: 'holds', checks, instructions: { plain, patched }, reason: '' };
  } catch (error) {
    if (!(error instanceof Broken) && !(error instanceof TrampolineError)) throw error;
    const left = removeAll(machine);
    const reason = left === undefined ? error.message : `${error.message}; and ${left}`;
    return { ...head, verdict: isNotJudged(error) ? 'not judged' : 'broken', checks, instructions: undefined, reason };
  }
}

/** Takes the probes off again, so that the next function starts clean; says what could not be undone. */
function removeAll(machine: Machine): string | undefined {
  let failure: string | undefined;
  for (const { name } of machine.livepatch.patches) {
    if (!PROBES.some((probe) => probe === name)) continue;
    try {
      machine.livepatch.disable(name);
    } catch (error) {
      if (!(error instanceof TrampolineError)) throw error;
      failure ??= error.message;
    }
  }
  return failure;
}

/**
 * Enables a patch that puts a probe on a function of the machine's vmlinux.
 *
 * @param probe one of PROBES; the patch has its name
 * @throws as `Livepatch.enable`
 */
export function enableProbe(machine: Machine, { symbol, address }: FunctionInfo, probe: string): void {
  // vmlinux symbols of one name count by ascending address (L23)
  const same = machine.images.object(null)?.named(symbol.name) ?? [];
  const position = 1 + same.filter((one) => one.address < address).length;
  const funcs = [{ oldName: symbol.name, newFunc: probe, oldSympos: same.length > 1 ? position : 0 }];
  machine.livepatch.enable({ name: probe, image: PROBE_IMAGE, objects: [{ name: null, funcs }] });
}

/** The executable bytes of the image, one text per segment. */
function textOf(machine: Machine, image: LoadedImage): string[] {
  return image.segments
    .filter(({ access }) => access.includes('x'))
    .map(({ address, bytes }) => hexBytes(machine.read(address, bytes.length)));
}

function changedText(image: LoadedImage): FunctionVerdict {
  return {
    name: '(text)',
    address: image.base,
    site: undefined,
    verdict: 'broken',
    checks: 0,
    instructions: undefined,
    reason: 'after all patches are removed, text outside the functions is not as it was (I4)',
  };
}
