// Reads callbacks and module routines: a guest symbol, or `{"log", "returns"}`, which needs no guest code.

import type { JsonNode } from '../json.ts';
import type { CallbackCall, Callbacks, ModuleState } from '../livepatch/patch.ts';
import type { ModuleRoutine } from '../machine/images.ts';

/** What stands for the module's state in a log line, e.g. `MODULE_STATE_LIVE`. */
const STATE = '{state}';

/** `{"prePatch", "postPatch", "preUnpatch", "postUnpatch"}`, all of them optional. */
export function readCallbacks(node: JsonNode | undefined): Callbacks {
  if (node === undefined) return {};
  node.keys(['prePatch', 'postPatch', 'preUnpatch', 'postUnpatch']);
  return Object.fromEntries(node.entries().map(([key, one]) => [key, readHost(one)]));
}

/** A module's `init` or `exit`. */
export function readRoutine(node: JsonNode | undefined): ModuleRoutine | undefined {
  return node && readHost(node);
}

type Told = Pick<CallbackCall, 'say'> & { moduleState?: ModuleState | undefined };

function readHost(node: JsonNode): string | ((call: Told) => number) {
  if (!node.isObject()) return node.name();
  node.keys(['log', 'returns']);
  const line = node.get('log')?.string();
  const returns = node.get('returns')?.count(-4095, 0) ?? 0;
  return ({ say, moduleState }) => {
    if (line !== undefined) say(line.replaceAll(STATE, moduleState === undefined ? '' : `MODULE_STATE_${moduleState}`));
    return returns;
  };
}
