// The steps `sysfs` and `sysctl`: files under /sys/kernel/livepatch and /sys/module, and kernel.ftrace_enabled.
import type { Verb } from '../verb.ts';

/** `{"sysfs":"A/vmlinux/patched","mode":"-r--r--r--","reads":"1"}`, `{"sysfs":"A","exists":false}`, `{"sysfs":"/sys/module/M/parameters/P","write":"0"}`. */
export const sysfs: Verb = {
  keys: ['mode', 'reads', 'exists', 'write'],
  expects: ['mode', 'reads', 'exists'],
  read(step) {
    const path = step.need('sysfs').name();
    const mode = step.get('mode')?.string();
    const reads = step.get('reads')?.string();
    const exists = step.get('exists')?.boolean();
    const write = step.get('write')?.string();
    return ({ machine }) => {
      if (write !== undefined) machine.writeSysfs(path, write);
      const node = machine.sysfs(path);
      const broken: string[] = [];
      if (exists !== undefined && exists !== (node !== undefined)) {
        broken.push(`expected '${path}' ${exists ? 'to exist' : 'not to exist'}`);
      }
      if (mode !== undefined && mode !== node?.mode)
        broken.push(`expected mode ${mode}, got ${node?.mode ?? 'no file'}`);
      if (reads !== undefined && reads !== node?.reads) {
        broken.push(`expected '${path}' to read ${reads}, got ${node?.reads ?? 'nothing'}`);
      }
      return { seen: node === undefined ? 'no file' : `${node.mode} ${node.reads ?? ''}`.trimEnd(), broken };
    };
  },
};

/** `{"sysctl":"kernel.ftrace_enabled","write":0}`. */
export const sysctl: Verb = {
  keys: ['write'],
  expects: [],
  read(step) {
    step.need('sysctl').oneOf(['kernel.ftrace_enabled']);
    const on = step.need('write').count(0, 1) === 1;
    return ({ machine }) => {
      machine.ftrace.setEnabled(on);
      return { broken: [] };
    };
  },
};
