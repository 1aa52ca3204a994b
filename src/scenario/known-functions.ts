// Function names of a scenario that nothing of it can ever give are mistakes of the file, found before the first step.
import { TrampolineError } from '../errors.ts';
import { ElfFile } from '../image/elf.ts';
import type { Machine } from '../machine.ts';
import type { Scenario } from './scenario.ts';

/**
 * Checks the functions that steps call. What a module defines that is not loaded at the step is another matter: that
 * depends on the run. A step that states `"fails": "ENOENT"` asks for it.
 *
 * @param files of the scenario's images, in their order
 * @throws {ScenarioError} ENOENT no image of the file, loaded or not, and no service of the kernel has the name
 */
export function checkFunctions({ images, steps }: Scenario, files: readonly Uint8Array[], machine: Machine): void {
  const wanted = steps.flatMap(({ functions, fails }) => (fails === 'ENOENT' ? [] : functions));
  const unknown = wanted.filter((node) => machine.images.address(node.name()) === undefined);
  if (unknown.length === 0) return;
  const defined = new Map(images.map(({ name }, i) => [name, namesOf(files[i] ?? new Uint8Array(), name)]));
  // a file that cannot be read may define anything: its own step says what is wrong with it
  if ([...defined.values()].includes(undefined)) return;
  for (const node of unknown) {
    const [symbol = '', image] = node.name().split(':').reverse();
    const where = image === undefined ? [...defined.values()] : [defined.get(image)];
    const plain = symbol.replace(/,\d+$/, '');
    if (where.some((names) => names?.has(plain) === true)) continue;
    const place = image === undefined ? 'no image of this file' : `no image '${image}' with that function in this file`;
    throw node.error('ENOENT', `'${node.name()}' is not to be had: ${place}, and no service of the kernel, has it`);
  }
}

/** The symbols that a file defines; undefined where it is none. */
function namesOf(bytes: Uint8Array, name: string): ReadonlySet<string> | undefined {
  try {
    return new Set(
      ElfFile.parse(bytes, name)
        .symbols.filter(({ place }) => place !== 'undefined')
        .map((symbol) => symbol.name),
    );
  } catch (error) {
    if (error instanceof TrampolineError) return undefined;
    throw error;
  }
}
