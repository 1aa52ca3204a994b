// What a verb of a step is made of.
import type { JsonNode } from '../json.ts';
import type { Guest, Outcome } from './scenario.ts';

/** What the reader knows of the file when it reads a step. */
export interface FileNames {
  readonly patches: ReadonlySet<string>;
  /** Grows as steps add tasks. */
  readonly tasks: Set<string>;
  /** Images of kind module. */
  readonly modules: ReadonlySet<string>;
}

/** A verb: which keys its steps have, and how a step becomes an action. */
export interface Verb {
  /** Keys besides the verb, `note` and `fails`. */
  readonly keys: readonly string[];
  /** Keys that state what must be seen; they contradict `fails`. */
  readonly expects: readonly string[];
  /** Where the step names functions that it cannot do without. */
  functions?(step: JsonNode): JsonNode[];
  /** Reads a step whose keys are checked, and returns what it does. */
  read(step: JsonNode, names: FileNames): (guest: Guest) => Outcome;
}
