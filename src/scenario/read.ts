// Reads a scenario file: JSON text to a typed Scenario, every mistake named with its JSON path.
import type { ScenarioError } from '../errors.ts';
import { JsonNode } from '../json.ts';
import type { StateSpec } from '../livepatch/patch.ts';
import type { ImageKind } from '../machine/images.ts';
import { readCallbacks, readRoutine } from './callbacks.ts';
import { readParams } from './params.ts';
import { checkReferences } from './references.ts';
import {
  SCENARIO_FORMAT,
  type Scenario,
  type ScenarioImage,
  type ScenarioMachine,
  type ScenarioPatch,
} from './scenario.ts';
import { readStep } from './verbs.ts';

/** Larger files are refused: a scenario is written by people, or by a fuzzer that stops in time. */
const MAX_TEXT = 16 << 20;
const MAX_BUDGET = 1_000_000_000;
const MAX_TASKS = 1024;

/**
 * Reads a scenario. Nothing but the text is looked at; image files are read when it runs.
 *
 * @param text the JSON
 * @param file what messages call it
 * @throws {ScenarioError} EINVAL not JSON, a missing or unknown key, a wrong value · ENOENT a name that the file does not
 * define · EEXIST a name used twice. `jsonPath` says where.
 */
export function parseScenario(text: string, file?: string): Scenario {
  const root = new JsonNode(parseJson(text, file), '$', file);
  root.keys(['$schema', 'format', 'question', 'answer', 'machine', 'images', 'patches', 'steps']);
  root.need('format').oneOf([SCENARIO_FORMAT]);
  root.get('$schema')?.string();
  const machine = readMachine(root.get('machine'));
  const images = root.need('images').array().map(readImage);
  if (images.length === 0) throw root.need('images').error('EINVAL', 'expected at least one image');
  unique(images.map(({ name, at }) => ({ name, at })));
  checkReferences(images);
  const patches = (root.get('patches')?.array() ?? []).map((node) => ({ at: node, spec: readPatch(node) }));
  unique(patches.map(({ at, spec }) => ({ name: spec.name, at })));
  for (const { at, spec } of patches) {
    const image = spec.image ?? spec.name;
    if (!images.some((one) => one.name === image)) throw at.error('ENOENT', `no image '${image}' in $.images`);
  }
  const names = {
    patches: new Set(patches.map(({ spec }) => spec.name)),
    tasks: new Set(machine.tasks ?? ['init']),
    modules: new Set(images.filter(({ kind }) => kind === 'module').map(({ name }) => name)),
  };
  return {
    file,
    question: root.get('question')?.string(),
    answer: root.get('answer')?.string(),
    machine,
    images,
    patches: new Map(patches.map(({ spec }) => [spec.name, spec])),
    steps: root
      .need('steps')
      .array()
      .map((node) => readStep(node, names)),
  };
}

function parseJson(text: string, file: string | undefined): unknown {
  const fail = (fact: string, cause?: unknown): ScenarioError =>
    new JsonNode(text, '$', file).error('EINVAL', fact, cause);
  if (text.length > MAX_TEXT) throw fail(`${text.length} characters are more than the ${MAX_TEXT} allowed`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fail(`not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

function readMachine(node: JsonNode | undefined): ScenarioMachine {
  if (node === undefined) return {};
  node.keys(['kernel', 'policy', 'transition', 'handler', 'tasks', 'budget', 'debug']);
  const kernel = node.get('kernel')?.oneOf(['6.1', '6.12']);
  const budget = node.get('budget')?.count(1, MAX_BUDGET);
  const policy = node.get('policy')?.oneOf(['independent', 'strict-stack', 'v10']);
  const transition = node.get('transition')?.oneOf(['auto', 'manual']);
  const handler = node.get('handler')?.oneOf(['core', 'guest']);
  const debug = node.get('debug')?.oneOf(['selftests', 'all']);
  const tasks = node.get('tasks');
  const taskNodes = tasks?.array();
  if (taskNodes?.length === 0) throw node.need('tasks').error('EINVAL', 'expected at least one task');
  if ((taskNodes?.length ?? 0) > MAX_TASKS) throw node.need('tasks').error('EINVAL', `at most ${MAX_TASKS} tasks`);
  unique((taskNodes ?? []).map((at) => ({ name: at.name(), at })));
  return {
    ...(kernel === undefined ? {} : { kernel }),
    ...(budget === undefined ? {} : { budget }),
    ...(handler === undefined ? {} : { handler }),
    ...(transition === undefined ? {} : { transition }),
    ...(policy === undefined ? {} : { policy }),
    ...(debug === undefined ? {} : { debug }),
    ...(taskNodes === undefined ? {} : { tasks: taskNodes.map((task) => task.name()) }),
  };
}

function readImage(node: JsonNode, index: number): ScenarioImage {
  node.keys(['name', 'file', 'kind', 'symbols', 'loaded', 'init', 'exit', 'params']);
  const kinds: readonly ImageKind[] = ['vmlinux', 'module', 'livepatch', 'code'];
  const name = node.need('name');
  if (name.name().includes(':')) throw name.error('EINVAL', 'an image name holds no colon');
  // symbol names come from files: no prototype, so that `constructor` is a name like any other
  const symbols: Record<string, bigint | string> = Object.create(null);
  for (const [symbol, value] of node.get('symbols')?.entries() ?? []) symbols[symbol] = readSymbol(value);
  const kind = node.get('kind')?.oneOf(kinds) ?? (index === 0 ? 'vmlinux' : 'code');
  for (const key of ['loaded', 'init', 'exit', 'params']) {
    if (kind !== 'module' && node.get(key) !== undefined) {
      throw node.need(key).error('EINVAL', `'${key}' goes with "kind": "module" only`);
    }
  }
  return {
    name: name.name(),
    file: node.need('file').name(),
    kind,
    symbols,
    loaded: node.get('loaded')?.boolean() ?? true,
    init: readRoutine(node.get('init')),
    exit: readRoutine(node.get('exit')),
    params: readParams(node.get('params')),
    at: node,
  };
}

/** What an undefined symbol means: `"ret"`, `"image:symbol"`, or an integer. */
function readSymbol(node: JsonNode): bigint | string {
  const { value } = node;
  if (typeof value === 'string' && (value === 'ret' || value.includes(':'))) return value;
  const number = node.integer();
  if (number < 0n) throw node.error('EINVAL', `an address is not negative: ${number}`);
  return number;
}

function readPatch(node: JsonNode): ScenarioPatch {
  if (node.get('from') !== undefined) return readStructPatch(node);
  node.keys(['name', 'image', 'replace', 'objects', 'states', 'from']);
  const image = node.get('image')?.name();
  return {
    name: node.need('name').name(),
    ...(image === undefined ? {} : { image }),
    replace: node.get('replace')?.boolean() ?? false,
    states: (node.get('states')?.array() ?? []).map(readState),
    objects: node
      .need('objects')
      .array()
      .map((object) => {
        object.keys(['name', 'funcs', 'callbacks']);
        const name = object.need('name');
        return {
          name: name.value === null ? null : name.name(),
          callbacks: readCallbacks(object.get('callbacks')),
          funcs: object
            .need('funcs')
            .array()
            .map((func) => {
              func.keys(['oldName', 'newFunc', 'oldSympos']);
              return {
                oldName: func.need('oldName').name(),
                newFunc: func.need('newFunc').name(),
                oldSympos: func.get('oldSympos')?.count(0, 0x7fffffff) ?? 0,
              };
            }),
        };
      }),
  };
}

/** `{"name", "image", "from": "struct", "symbol"}`: the rest is in the image. */
function readStructPatch(node: JsonNode): ScenarioPatch {
  node.keys(['name', 'image', 'from', 'symbol']);
  node.need('from').oneOf(['struct']);
  const name = node.need('name').name();
  return { name, image: node.get('image')?.name() ?? name, objects: [], from: { symbol: node.get('symbol')?.name() } };
}

function readState(node: JsonNode): StateSpec {
  node.keys(['id', 'version']);
  return { id: node.need('id').count(1, 0x7fffffff), version: node.need('version').count(0, 0xffffffff) };
}

function unique(named: readonly { name: string; at: JsonNode }[]): void {
  const seen = new Set<string>();
  for (const { name, at } of named) {
    if (seen.has(name)) throw at.error('EEXIST', `the name '${name}' is used twice`);
    seen.add(name);
  }
}
