// tramp64's public API; runs in Node and in browsers.
export { ADDRESS_LIMIT, address, bytesOfHex, hex, hexBytes, PAGE_SIZE } from './address.ts';
export * from './core/core.ts';
export { createEngine } from './engine/create.ts';
export * from './engine/engine.ts';
export * from './errors.ts';
export { callBytes, NOP5, SITE_SIZE } from './ftrace/site.ts';
export { type KernelVersion, opsTrampoline, type TrampolineKind, type TrampolineSpec } from './ftrace/trampoline.ts';
export { ElfFile } from './image/elf.ts';
export type { LoadedImage } from './image/image.ts';
export { loadImage, loadImageBytes } from './image/load.ts';
export type { FunctionInfo, Site } from './image/sites.ts';
export { Livepatch, type StackEntry } from './livepatch/livepatch.ts';
export type { Func, FuncSpec, ObjectSpec, Patch, PatchSpec } from './livepatch/patch.ts';
export type { Argument } from './machine/arguments.ts';
export type { ImageKind, LoadOptions, Location } from './machine/images.ts';
export {
  type Arrival,
  type CallOptions,
  type CallResult,
  Machine,
  type MachineOptions,
  type TraceStep,
} from './machine.ts';
export { parseScenario } from './scenario/read.ts';
export {
  type FileReader,
  type RunScenarioOptions,
  runScenario,
  type ScenarioResult,
  ScenarioRun,
  type StepResult,
  type Verdict,
} from './scenario/run.ts';
export {
  type FunctionVerdict,
  type ImageVerdict,
  type VerifyImageOptions,
  verifyImage,
} from './scenario/verify-image.ts';
export { decode, decodeOne, type Flow, type Instruction } from './x86/decode.ts';
