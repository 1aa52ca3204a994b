// The step `stack`: which patches stand on a function's func stack, newest first.
import { describeStack, needFunction } from '../names.ts';
import type { Verb } from '../verb.ts';

/** `{"stack":"f","object":null,"is":["B","nop:C","A"]}`. */
export const stack: Verb = {
  keys: ['object', 'is'],
  expects: ['is'],
  read(step, names) {
    const subject = step.need('stack');
    const name = subject.name();
    const objectNode = step.get('object');
    const object = objectNode === undefined || objectNode.value === null ? undefined : objectNode.name();
    const wanted = step
      .need('is')
      .array()
      .map((node) => {
        const entry = node.name();
        const patch = entry.startsWith('nop:') ? entry.slice(4) : entry;
        if (!names.patches.has(patch) && !names.modules.has(patch)) {
          throw node.error('ENOENT', `no patch '${patch}' in $.patches, nor a module of that name in $.images`);
        }
        return entry;
      });
    return ({ machine }) => {
      const scope = object ?? machine.images.all.find((image) => machine.images.kindOf(image) === 'vmlinux')?.name;
      const { info } = needFunction(
        machine,
        name.includes(':') || scope === undefined ? name : `${scope}:${name}`,
        subject,
      );
      if (info.site === undefined) throw subject.error('ENODEV', `'${name}' has no func stack: ${info.reason}`);
      const found = machine.livepatch.stack(info.site.address).map(({ patch, nop }) => (nop ? `nop:${patch}` : patch));
      const seen = describeStack(machine, info.site.address);
      const holds = found.length === wanted.length && found.every((patch, i) => patch === wanted[i]);
      const expected = wanted.length === 0 ? 'empty' : wanted.join(' > ');
      return { seen, broken: holds ? [] : [`func stack of ${info.name}: expected ${expected}, got ${seen}`] };
    };
  },
};
