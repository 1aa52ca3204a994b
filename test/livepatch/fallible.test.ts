// No fallible call without a fault point: what livepatch and ftrace call, and is documented to throw, goes through Faults.
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The files that change a machine's patches and undo what they did: in them no call may fail without a point. */
const UNDOING = ['attach', 'callbacks', 'init', 'lifecycle', 'modules', 'nops', 'patch-list', 'transition']
  .map((name) => `src/livepatch/${name}.ts`)
  .concat('src/ftrace/ftrace.ts', 'src/ftrace/copies.ts');

const HANDLE = 'fails only for a handle that names nothing, and the handles are our own';

/** Calls that need no point, and why. */
const NEED_NONE: Readonly<Record<string, string>> = {
  setTransition: HANDLE,
  removeFunc: HANDLE,
  func: HANDLE,
  patchState: HANDLE,
  setPatchState: HANDLE,
  verify: 'is the call of ftrace that has the point `site-verify`',
  unregister: 'its sites were compared before the first was written, on one CPU that is stopped meanwhile',
  refuseToSkip: 'refuses before anything is changed (L52)',
  refuseToUndercut: 'refuses before anything is changed (L52)',
  verifySite: 'is made by way of `site-verify`, but for unregister',
  write: 'writes to a site or trampoline that is mapped: it was read, or handed out, just before',
  callBytes: 'encodes a call whose reach was checked when its trampoline was made',
  checkHashes: 'refuses before anything is changed (F40, F45)',
  enterSites: 'refuses before anything is changed (F40, F41)',
  add: 'is undone as a failed registration where the heap of 1 GiB is full',
  rehash: 'takes the place of a hash that is at most as large, or is undone with the filter',
  copy: 'is undone as a failed registration where the copy does not reach',
};

interface FallibleCall {
  /** `src/livepatch/attach.ts:110 pushFunc`. */
  at: string;
  callee: string;
  /** It is made by way of Faults. */
  point: boolean;
}

/** The calls of a file to something of another part that is documented to throw. */
function fallibleCalls(program: ts.Program, path: string): FallibleCall[] {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(join(ROOT, path));
  if (source === undefined) throw new Error(`there is no ${path}`);
  const found: FallibleCall[] = [];
  const visit = (node: ts.Node, point: boolean): void => {
    let inside = point;
    if (ts.isCallExpression(node)) {
      const callee = node.expression.getText();
      const faults = /\bfaults\.(call|pass|inject)$/.exec(callee);
      inside ||= faults?.[1] === 'call';
      const declaration = checker.getResolvedSignature(node)?.declaration;
      if (faults === null && declaration !== undefined && isForeign(declaration, path) && throws(declaration)) {
        const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
        const name = callee.replace(/^.*\./s, '');
        found.push({ at: `${path}:${line} ${name}`, callee: name, point });
      }
    }
    node.forEachChild((child) => visit(child, inside));
  };
  source.forEachChild((child) => visit(child, false));
  return found;
}

function throws(declaration: ts.Node): boolean {
  return ts.getJSDocTags(declaration).some((tag) => tag.tagName.text === 'throws');
}

/** Of another part: ftrace for livepatch, and whatever is no undoing file. */
function isForeign(declaration: ts.Node, path: string): boolean {
  const file = relative(ROOT, declaration.getSourceFile().fileName);
  const part = (one: string): string => one.split('/')[1] ?? '';
  return file.startsWith('src/') && !(UNDOING.includes(file) && part(file) === part(path));
}

const program = ts.createProgram(
  UNDOING.map((path) => join(ROOT, path)),
  {
    allowImportingTsExtensions: true,
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  },
);
const calls = UNDOING.flatMap((path) => fallibleCalls(program, path));

test('every call that can fail, where something would have to be undone, has a fault point', () => {
  expect(calls.filter(({ callee, point }) => !point && NEED_NONE[callee] === undefined).map(({ at }) => at)).toEqual(
    [],
  );
});

test('the calls that are known to fail are seen, and every exception is needed', () => {
  const pointed = new Set(calls.filter(({ point }) => point).map(({ callee }) => callee));
  expect([...pointed].sort()).toEqual(expect.arrayContaining(['allocate', 'findSymbol', 'pushFunc', 'register']));
  const seen = new Set(calls.map(({ callee }) => callee));
  expect(Object.keys(NEED_NONE).filter((callee) => !seen.has(callee))).toEqual([]);
});
