// What the reader of scenario files says to wrong input: code and JSON path.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ScenarioError } from '../../src/errors.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { EXAMPLES } from './world.ts';

const VALID = {
  format: 'tramp64-scenario/1',
  images: [{ name: 'vmlinux', file: 'a.o' }],
  patches: [{ name: 'p', image: 'vmlinux', objects: [{ name: null, funcs: [{ oldName: 'f', newFunc: 'g' }] }] }],
  steps: [{ call: 'f' }],
};
const with_ = (change: object): string => JSON.stringify({ ...VALID, ...change });
const step = (one: unknown): string => with_({ steps: [one] });
const image = (change: object): string => with_({ images: [{ ...VALID.images[0], ...change }] });
const patch = (change: object): string => with_({ patches: [{ ...VALID.patches[0], ...change }] });

/** The error that a text gives, or a failed test. */
function errorOf(text: string): ScenarioError {
  try {
    parseScenario(text, 'file.json');
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('the scenario was read without an error');
}

describe('a scenario that is wrong is refused with code and JSON path', () => {
  const cases: [string, string, string, string][] = [
    ['text that is not JSON', '{"format":', 'EINVAL', '$'],
    ['JSON that is no object', '[]', 'EINVAL', '$'],
    ['a deeply nested text', '['.repeat(200_000), 'EINVAL', '$'],
    ['an unknown format', with_({ format: 'tramp64-scenario/2' }), 'EINVAL', '$.format'],
    ['an unknown key at the top', with_({ image: [] }), 'EINVAL', '$.image'],
    ['a key that is no identifier', with_({ 'a b': 1 }), 'EINVAL', '$["a b"]'],
    ['a key named __proto__', '{"__proto__":{}}', 'EINVAL', '$.__proto__'],
    ['no images', with_({ images: [] }), 'EINVAL', '$.images'],
    ['images that are no array', with_({ images: {} }), 'EINVAL', '$.images'],
    ['an image without a file', with_({ images: [{ name: 'v' }] }), 'EINVAL', '$.images[0]'],
    ['an image file that is a number', image({ file: 3 }), 'EINVAL', '$.images[0].file'],
    ['an image of an unknown kind', image({ kind: 'kernel' }), 'EINVAL', '$.images[0].kind'],
    ['an image name with a colon', image({ name: 'a:b' }), 'EINVAL', '$.images[0].name'],
    ['a kernel that comes later', image({ loaded: false }), 'EINVAL', '$.images[0].loaded'],
    ['a kernel with an init function', image({ init: 'start' }), 'EINVAL', '$.images[0].init'],
    [
      'an init that returns no errno',
      image({ kind: 'module', init: { returns: 1 } }),
      'EINVAL',
      '$.images[0].init.returns',
    ],
    ['parameters of what is no module', image({ params: {} }), 'EINVAL', '$.images[0].params'],
    ['a parameter that is a list', image({ kind: 'module', params: { a: [1] } }), 'EINVAL', '$.images[0].params.a'],
    ['a parameter that is a fraction', image({ kind: 'module', params: { a: 0.5 } }), 'EINVAL', '$.images[0].params.a'],
    ['a parameter with a NUL', image({ kind: 'module', params: { a: 'x\0' } }), 'EINVAL', '$.images[0].params.a'],
    ['a symbol that means nothing', image({ symbols: { x: 'nowhere' } }), 'EINVAL', '$.images[0].symbols.x'],
    ['a negative symbol', image({ symbols: { x: -1 } }), 'EINVAL', '$.images[0].symbols.x'],
    ['an image name used twice', with_({ images: [VALID.images[0], VALID.images[0]] }), 'EEXIST', '$.images[1]'],
    ['an unknown kernel', with_({ machine: { kernel: '5.4' } }), 'EINVAL', '$.machine.kernel'],
    ['an unknown policy', with_({ machine: { policy: 'stacked' } }), 'EINVAL', '$.machine.policy'],
    ['an unknown way to switch', with_({ machine: { transition: 'never' } }), 'EINVAL', '$.machine.transition'],
    ['a handler of another kind', with_({ machine: { handler: 'host' } }), 'EINVAL', '$.machine.handler'],
    ['a budget of 0', with_({ machine: { budget: 0 } }), 'EINVAL', '$.machine.budget'],
    ['a budget without bounds', with_({ machine: { budget: '0xffffffffffffffff' } }), 'EINVAL', '$.machine.budget'],
    ['no tasks', with_({ machine: { tasks: [] } }), 'EINVAL', '$.machine.tasks'],
    ['a task named twice', with_({ machine: { tasks: ['a', 'a'] } }), 'EEXIST', '$.machine.tasks[1]'],
    ['a patch without an image', patch({ image: 'other' }), 'ENOENT', '$.patches[0]'],
    ['a state without a version', patch({ states: [{ id: 1 }] }), 'EINVAL', '$.patches[0].states[0]'],
    [
      'state 0, which ends the kernel’s array',
      patch({ states: [{ id: 0, version: 1 }] }),
      'EINVAL',
      '$.patches[0].states[0].id',
    ],
    [
      'an unknown callback',
      patch({ objects: [{ name: null, funcs: [], callbacks: { patched: 'f' } }] }),
      'EINVAL',
      '$.patches[0].objects[0].callbacks.patched',
    ],
    ['an object without a name', patch({ objects: [{ funcs: [] }] }), 'EINVAL', '$.patches[0].objects[0]'],
    ['an empty object name', patch({ objects: [{ name: '', funcs: [] }] }), 'EINVAL', '$.patches[0].objects[0].name'],
    ['replace that is a word', patch({ replace: 'yes' }), 'EINVAL', '$.patches[0].replace'],
    ['a step without a verb', step({ note: 'x' }), 'EINVAL', '$.steps[0]'],
    ['a step that is a string', step('call'), 'EINVAL', '$.steps[0]'],
    ['a step with two verbs', step({ enable: 'p', disable: 'p' }), 'EINVAL', '$.steps[0]'],
    ['a user of ftrace without a name', step({ ftrace: 'add' }), 'EINVAL', '$.steps[0]'],
    ['a user of an unknown kind', step({ ftrace: 'add', name: 't', kind: 'uprobe' }), 'EINVAL', '$.steps[0].kind'],
    ['an unknown flag', step({ ftrace: 'add', name: 't', flags: ['FAST'] }), 'EINVAL', '$.steps[0].flags[0]'],
    [
      'sharing without a direct call',
      step({ ftrace: 'add', name: 't', flags: ['SHARE_IPMODIFY'] }),
      'EINVAL',
      '$.steps[0].flags',
    ],
    ['a filter that is a word', step({ ftrace: 'add', name: 't', filter: 'f' }), 'EINVAL', '$.steps[0].filter'],
    ['a filter of a user that goes', step({ ftrace: 'remove', name: 't', filter: [] }), 'EINVAL', '$.steps[0].filter'],
    ['counts of nobody', step({ ftrace: 'counts' }), 'EINVAL', '$.steps[0]'],
    [
      'a count of an unknown thing',
      step({ ftrace: 'counts', is: { t: { hits: 1 } } }),
      'EINVAL',
      '$.steps[0].is.t.hits',
    ],
    ['a site that calls what it cannot', step({ site: 'f', calls: 'list' }), 'EINVAL', '$.steps[0].calls'],
    ['a shadow variable of no object', step({ shadow: 'get', id: 1 }), 'EINVAL', '$.steps[0]'],
    ['a shadow variable of no size', step({ shadow: 'alloc', obj: 1, id: 1 }), 'EINVAL', '$.steps[0]'],
    [
      'a constructor where nothing is made',
      step({ shadow: 'get', obj: 1, id: 1, ctor: 'f' }),
      'EINVAL',
      '$.steps[0].ctor',
    ],
    ['data of what is freed', step({ shadow: 'freeAll', id: 1, is: null }), 'EINVAL', '$.steps[0].is'],
    ['reversing an unknown patch', step({ reverse: 'q' }), 'ENOENT', '$.steps[0].reverse'],
    ['loading what is no module', step({ load: 'vmlinux' }), 'ENOENT', '$.steps[0].load'],
    ['unloading the kernel', step({ unload: 'vmlinux' }), 'ENOENT', '$.steps[0].unload'],
    ['switching an unknown task', step({ switch: 't9' }), 'ENOENT', '$.steps[0].switch'],
    ['a negative tick', step({ tick: -1 }), 'EINVAL', '$.steps[0].tick'],
    ['a task with nothing to do', step({ task: 'init' }), 'EINVAL', '$.steps[0]'],
    ['a task step of two kinds', step({ task: 'init', exit: true, onCpu: true }), 'EINVAL', '$.steps[0]'],
    ['an unknown sysctl', step({ sysctl: 'kernel.panic', write: 0 }), 'EINVAL', '$.steps[0].sysctl'],
    ['a variable without an image', step({ set: 'x', value: 1 }), 'EINVAL', '$.steps[0].set'],
    ['a state of nobody', step({ state: 1, version: 1 }), 'EINVAL', '$.steps[0]'],
    ['a fault of an unknown call', step({ inject: 'kmalloc' }), 'EINVAL', '$.steps[0].inject'],
    ['the fault of no call', step({ inject: 'register', nth: 0 }), 'EINVAL', '$.steps[0].nth'],
    ['a fault with an unknown errno', step({ inject: 'register', errno: 'EWRONG' }), 'EINVAL', '$.steps[0].errno'],
    ['a log that is no array', step({ log: 'x' }), 'EINVAL', '$.steps[0].log'],
    ['a log line that is a number', step({ log: [1] }), 'EINVAL', '$.steps[0].log[0]'],
    ['an unknown task that exits', step({ task: 't', exit: true }), 'ENOENT', '$.steps[0].task'],
    ['a call in no context of the kernel', step({ call: 'f', context: 'user' }), 'EINVAL', '$.steps[0].context'],
    ['an interrupt that sleeps', step({ call: 'f', context: 'irq', until: 'f' }), 'EINVAL', '$.steps[0].context'],
    ['a place that is a number', step({ call: 'f', until: 5 }), 'EINVAL', '$.steps[0].until'],
    ['a result of a call that parks', step({ call: 'f', until: 'f', returns: 1 }), 'EINVAL', '$.steps[0].returns'],
    ['resuming, but not', step({ task: 'init', resume: false }), 'EINVAL', '$.steps[0].resume'],
    ['a result of a task that exits', step({ task: 'init', exit: true, runs: 'f' }), 'EINVAL', '$.steps[0].runs'],
    [
      'a result of a call that parks again',
      step({ task: 'init', resume: true, until: 'f', rdx: 1 }),
      'EINVAL',
      '$.steps[0].rdx',
    ],
    [
      'a result beside fails',
      step({ task: 'init', resume: true, fails: 'EFAULT', rdx: 1 }),
      'EINVAL',
      '$.steps[0].rdx',
    ],
    ['a kernel thread by a word', step({ task: 't', add: { kthread: 'yes' } }), 'EINVAL', '$.steps[0].add.kthread'],
    ['an unknown answer of a switch', step({ switch: '*', is: { init: 'EIO' } }), 'EINVAL', '$.steps[0].is.init'],
    ['a function of no EADDRINUSE', step({ switch: '*', is: { init: 'ok' }, on: 'f' }), 'EINVAL', '$.steps[0].on'],
    [
      'a sleeper without its function',
      step({ transition: 'p', blocked: { init: ['EADDRINUSE'] } }),
      'EINVAL',
      '$.steps[0].blocked.init',
    ],
    [
      'the function of a task that runs',
      step({ transition: 'p', blocked: { init: ['EBUSY', 'f'] } }),
      'EINVAL',
      '$.steps[0].blocked.init',
    ],
    ['debug lines of another kind', with_({ machine: { debug: 'none' } }), 'EINVAL', '$.machine.debug'],
    ['a call by an unknown task', step({ call: 'f', task: 'other' }), 'ENOENT', '$.steps[0].task'],
    ['an unknown key in a call', step({ call: 'f', return: 1 }), 'EINVAL', '$.steps[0].return'],
    ['an unknown errno', step({ enable: 'p', fails: 'EWRONG' }), 'EINVAL', '$.steps[0].fails'],
    ['an expectation beside fails', step({ call: 'f', fails: 'EFAULT', returns: 1 }), 'EINVAL', '$.steps[0].returns'],
    ['an unknown patch', step({ enable: 'q' }), 'ENOENT', '$.steps[0].enable'],
    ['an argument that is a fraction', step({ call: 'f', args: [1.5] }), 'EINVAL', '$.steps[0].args[0]'],
    ['an argument that a number cannot hold', step({ call: 'f', args: [2 ** 60] }), 'EINVAL', '$.steps[0].args[0]'],
    ['an argument of 65 bits', step({ call: 'f', args: ['18446744073709551616'] }), 'EINVAL', '$.steps[0].args[0]'],
    [
      'an argument with two meanings',
      step({ call: 'f', args: [{ text: 'a', data: '00' }] }),
      'EINVAL',
      '$.steps[0].args[0]',
    ],
    ['a double that is a text', step({ call: 'f', args: [{ f64: '1' }] }), 'EINVAL', '$.steps[0].args[0].f64'],
    ['half a byte', step({ call: 'f', args: [{ data: '012' }] }), 'EINVAL', '$.steps[0].args[0].data'],
    ['a width of 24', step({ call: 'f', width: 24 }), 'EINVAL', '$.steps[0].width'],
    ['a result wider than its width', step({ call: 'f', width: 8, returns: 256 }), 'EINVAL', '$.steps[0].returns'],
    ['memory of no argument', step({ call: 'f', memory: { buf: '00' } }), 'ENOENT', '$.steps[0].memory.buf'],
    ['an xmm0 of 8 bytes', step({ call: 'f', xmm0: '0011223344556677' }), 'EINVAL', '$.steps[0].xmm0'],
    ['a nop of an unknown patch on a stack', step({ stack: 'f', is: ['nop:q'] }), 'ENOENT', '$.steps[0].is[0]'],
    ['a stack without an expectation', step({ stack: 'f' }), 'EINVAL', '$.steps[0]'],
  ];
  test.each(cases)('%s', (_, text, code, path) => {
    const error = errorOf(text);
    expect({ code: error.code, path: error.jsonPath, file: error.file }).toEqual({ code, path, file: 'file.json' });
    expect(error.message).toContain(`file.json: ${path}`);
  });
});

describe('a scenario that is right is read', () => {
  test('the smallest one', () => {
    const { images, steps } = parseScenario(JSON.stringify(VALID));
    expect(images.map(({ name, kind }) => [name, kind])).toEqual([['vmlinux', 'vmlinux']]);
    expect(steps.map(({ verb }) => verb)).toEqual(['call']);
  });

  test('a symbol named like a member of every object is just a name', () => {
    const { images } = parseScenario(image({}));
    expect(images[0]?.symbols.constructor).toBeUndefined();
  });

  test.each(readdirSync(EXAMPLES).filter((name) => name.endsWith('.json')))('the shipped %s', (name) => {
    expect(parseScenario(readFileSync(EXAMPLES + name, 'utf8'), name).steps.length).toBeGreaterThan(0);
  });
});
