// The step `inject`: makes a call of livepatch or ftrace that comes later fail once.
import { ERRNO, type ErrnoName } from '../../errors.ts';
import { FAULT_POINT_NAMES } from '../../faults.ts';
import type { Verb } from '../verb.ts';

/** Calls that one step may let pass. */
const MAX_NTH = 1_000_000;

/** `{"inject":"register","nth":2,"errno":"ENOMEM"}`: the second such call from here on; the kernel's errno by default. */
export const inject: Verb = {
  keys: ['nth', 'errno'],
  expects: [],
  read(step) {
    const point = step.need('inject').oneOf(FAULT_POINT_NAMES);
    const nth = step.get('nth')?.count(1, MAX_NTH) ?? 1;
    const errno = step.get('errno')?.oneOf(Object.keys(ERRNO) as ErrnoName[]);
    return ({ machine }) => {
      machine.faults.inject(point, { nth, ...(errno === undefined ? {} : { errno }) });
      return { seen: `call ${nth} of '${point}' will fail`, broken: [] };
    };
  },
};
