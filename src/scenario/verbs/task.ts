// The step `task`: a task comes, goes, or runs on another CPU.
import type { Verb } from '../verb.ts';

/** `{"task":"t1","add":{"fork":"t0"}}`, `{"task":"t1","exit":true}`, `{"task":"t1","onCpu":true}`. */
export const task: Verb = {
  keys: ['add', 'exit', 'onCpu'],
  later: ['resume', 'until'],
  expects: [],
  read(step, names) {
    const node = step.need('task');
    const name = node.name();
    const words = ['add', 'exit', 'onCpu'].filter((key) => step.get(key) !== undefined);
    if (words.length !== 1) throw step.error('EINVAL', 'a task step has one of "add", "exit", "onCpu"');
    const add = step.get('add');
    if (add !== undefined) {
      add.keys(['fork'], ['kthread']);
      const fork = add.get('fork');
      if (fork !== undefined && !names.tasks.has(fork.name())) {
        throw fork.error('ENOENT', `no task '${fork.name()}' in $.machine.tasks, nor added before`);
      }
      names.tasks.add(name);
      return ({ machine }) => {
        machine.tasks.add(name, fork?.name());
        return { broken: [] };
      };
    }
    if (!names.tasks.has(name)) throw node.error('ENOENT', `no task '${name}' in $.machine.tasks, nor added before`);
    const onCpu = step.get('onCpu')?.boolean();
    if (onCpu === undefined && !step.need('exit').boolean()) throw step.need('exit').error('EINVAL', 'expected true');
    return ({ machine }) => {
      if (onCpu === undefined) machine.tasks.exit(name);
      else machine.tasks.need(name).onCpu = onCpu;
      // the others may be done now
      machine.livepatch.settle();
      return { broken: [] };
    };
  },
};
