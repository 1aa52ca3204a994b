// A user's own mechanisms, as a file of bytes: `tramp64-bench-bytes/1`.
import { ADDRESS_LIMIT, hex } from '../address.ts';
import { JsonNode } from '../json.ts';
import { type Mechanism, makeProgram, type Program } from './mechanism.ts';
import { BENCH_MEMORY, type Placed } from './subject.ts';

export const OWN_FORMAT = 'tramp64-bench-bytes/1';

/** One of the user's, and its bytes. */
export interface OwnMechanism extends Mechanism {
  readonly program: Program;
}

const OPERATION = 'bench';
const MOST_ROWS = 1000;
const MOST_ARGUMENTS = 6;
const MOST_BYTES = 1 << 20;

/**
 * Reads a file of mechanisms:
 * `{ "format", "mechanisms": [ { "id", "title", "code": [ { "address", "bytes" } ], "entry", "args", "reaches",
 * "returns", "traps" } ] }`; addresses and integers are 0x strings or decimal ones.
 *
 * @throws {ScenarioError} EINVAL what is wrong, and where
 */
export function parseOwn(text: string, file?: string): OwnMechanism[] {
  const root = new JsonNode(parse(text, file), '$', file, OPERATION);
  root.keys(['format', 'mechanisms']);
  root.need('format').oneOf([OWN_FORMAT]);
  const list = root.need('mechanisms');
  const nodes = list.array();
  if (nodes.length === 0 || nodes.length > MOST_ROWS)
    throw list.error('EINVAL', `expected 1 to ${MOST_ROWS} mechanisms`);
  const seen = new Set<string>();
  return nodes.map((node) => {
    const row = readRow(node);
    if (seen.has(row.id)) throw node.need('id').error('EEXIST', `the id '${row.id}' is used twice`);
    seen.add(row.id);
    return row;
  });
}

function readRow(node: JsonNode): OwnMechanism {
  node.keys(['id', 'title', 'code', 'entry', 'args', 'reaches', 'returns', 'traps']);
  const id = node.need('id').name();
  const code = node.need('code').array().map(readPart);
  const overlap = code.findIndex((part, i) => code.some((other, j) => j < i && overlaps(part, other)));
  if (overlap >= 0) throw node.need('code').error('EINVAL', `part ${overlap} overlaps one before it`);
  const size = code.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (size > MOST_BYTES)
    throw node.need('code').error('EINVAL', `${size} bytes are more than the ${MOST_BYTES} allowed`);
  const args = node.get('args');
  const values = args?.array().map((one) => one.integer()) ?? [];
  if (values.length > MOST_ARGUMENTS) throw node.need('args').error('EINVAL', `at most ${MOST_ARGUMENTS} arguments`);
  const traps = node.get('traps')?.entries() ?? [];
  const program: Program = {
    code,
    entry: addressOf(node.need('entry')),
    args: values,
    reaches: addressOf(node.need('reaches')),
    returns: BigInt.asUintN(64, node.need('returns').integer()),
    ...(traps.length === 0
      ? {}
      : {
          traps: new Map(
            traps.map(([at, to]) => [addressOf(new JsonNode(at, to.path, to.file, OPERATION)), addressOf(to)]),
          ),
        }),
  };
  return {
    id,
    title: node.get('title')?.name() ?? id,
    family: 'own',
    effect: 'redirect',
    program,
    make: (engine) => makeProgram(engine, program),
  };
}

function overlaps(a: Placed, b: Placed): boolean {
  return a.address < b.address + BigInt(b.bytes.length) && b.address < a.address + BigInt(a.bytes.length);
}

function readPart(node: JsonNode): Placed {
  node.keys(['address', 'bytes']);
  const address = addressOf(node.need('address'));
  const bytes = node.need('bytes').hex();
  const end = address + BigInt(bytes.length);
  if (bytes.length === 0) throw node.need('bytes').error('EINVAL', 'expected at least one byte');
  if (end > ADDRESS_LIMIT) throw node.error('EINVAL', 'the bytes go past the last address');
  const taken = BENCH_MEMORY.find(({ base, size }) => address < base + size && end > base);
  if (taken !== undefined) throw node.error('EINVAL', `the measurement has its own memory at ${hex(taken.base)}`);
  return { address, bytes };
}

function addressOf(node: JsonNode): bigint {
  const value = node.integer();
  if (value < 0n) throw node.error('EINVAL', `an address is not negative: ${value}`);
  return value;
}

function parse(text: string, name: string | undefined): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const fact = `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new JsonNode(text, '$', name, OPERATION).error('EINVAL', fact, cause);
  }
}
