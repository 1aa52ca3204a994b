// Measuring as a library: the rows, a whole measurement, one row, and an older result to compare with.
export {
  BENCH_FORMAT,
  type BenchOptions,
  type BenchResult,
  type CountedRow,
  countRow,
  mechanisms,
  runBench,
} from './bench.ts';
export { type Change, compareBench, readBench } from './compare.ts';
export { COUNT_NAMES, type Counts, countCall } from './counts.ts';
export { type Effect, type Family, type Mechanism, makeProgram, type Program } from './mechanism.ts';
export { type OwnFunction, ownFunctionRows } from './mechanisms/object.ts';
export { OWN_FORMAT, type OwnMechanism, parseOwn } from './own.ts';
export type { Series, SeriesPoint } from './series.ts';
export type { Summary } from './statistics.ts';
export { countBySteps } from './stepped.ts';
export type { Subject } from './subject.ts';
export type { EngineTimes, TimedRow } from './timing.ts';
