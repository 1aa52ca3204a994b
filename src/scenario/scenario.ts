// What a scenario is once it has been read: typed, checked, names resolved within the file.
import type { ErrnoName } from '../errors.ts';
import type { HandlerKind } from '../ftrace/guest/handlers.ts';
import type { KernelVersion } from '../ftrace/trampoline.ts';
import type { JsonNode } from '../json.ts';
import type { Policy, TransitionMode } from '../livepatch/livepatch.ts';
import type { DebugLines } from '../livepatch/log.ts';
import type { PatchSpec } from '../livepatch/patch.ts';
import type { ImageKind, ModuleRoutine } from '../machine/images.ts';
import type { Parameters } from '../machine/parameters.ts';
import type { Machine } from '../machine.ts';

/** The format that this version reads. */
export const SCENARIO_FORMAT = 'tramp64-scenario/1';

/** An image to load. */
export interface ScenarioImage {
  readonly name: string;
  /** As written; relative to the scenario file. */
  readonly file: string;
  readonly kind: ImageKind;
  /** What undefined symbols mean. Has no prototype: symbol names come from files. */
  readonly symbols: Readonly<Record<string, bigint | string>>;
  /** False for a module that a step loads. */
  readonly loaded: boolean;
  readonly init: ModuleRoutine | undefined;
  readonly exit: ModuleRoutine | undefined;
  /** What a module's parameters are set to whenever it is loaded; a step may say otherwise. */
  readonly params: Parameters;
  /** Where it stands in the file. */
  readonly at: JsonNode;
}

/** A patch: as the file states it, or what its image holds as a struct klp_patch when it is enabled. */
export interface ScenarioPatch extends PatchSpec {
  /** Set for `"from": "struct"`; then the objects are those of the struct. */
  readonly from?: { readonly symbol: string | undefined };
}

/** How the machine is made. */
export interface ScenarioMachine {
  readonly kernel?: KernelVersion;
  readonly handler?: HandlerKind;
  readonly budget?: number;
  readonly tasks?: readonly string[];
  readonly transition?: TransitionMode;
  readonly policy?: Policy;
  readonly debug?: DebugLines;
}

/** What a step works on. */
export interface Guest {
  readonly machine: Machine;
  readonly patches: ReadonlyMap<string, ScenarioPatch>;
  /** Loads an image of the file, as `Machine.load`; `params` add to the image's own. */
  load(image: string, params?: Parameters): void;
}

/** What a step did. */
export interface Outcome {
  /** `image:symbol` of the function that the call arrived at. */
  readonly runs?: string;
  /** rax, unsigned. */
  readonly returns?: bigint;
  readonly instructions?: number;
  /** What was seen, for people: `on top of the func stack`. */
  readonly seen?: string;
  /** Expectations that were not met, as sentences. Empty: the step holds. */
  readonly broken: readonly string[];
}

/** A step, ready to be done. */
export interface Step {
  /** As it stands in the file. */
  readonly source: unknown;
  readonly verb: string;
  readonly note: string | undefined;
  /** The errno that the step must give. */
  readonly fails: ErrnoName | undefined;
  /** Where it names functions that it cannot do without. */
  readonly functions: readonly JsonNode[];
  /** Does it. Errors of the machine are thrown and judged by the runner. */
  readonly act: (guest: Guest) => Outcome;
}

/** A scenario file. */
export interface Scenario {
  readonly file: string | undefined;
  /** What the scenario asks and what comes of it, for people. */
  readonly question: string | undefined;
  readonly answer: string | undefined;
  readonly machine: ScenarioMachine;
  readonly images: readonly ScenarioImage[];
  readonly patches: ReadonlyMap<string, ScenarioPatch>;
  readonly steps: readonly Step[];
}
