// tramp64's public API; runs in Node and in browsers.
export { ADDRESS_LIMIT, address, bytesOfHex, hex, hexBytes, PAGE_SIZE } from './address.ts';
export {
  type CaseFinding,
  type CaseResult,
  type CheckDocument,
  casesOf,
  check,
  type DispatchQuestion,
  documentOf,
  type EngineMaker,
  type Finding,
  type HookQuestion,
  type Judgement,
  judgeCase,
  judgeCases,
  type Placed,
  type PokeJudgement,
  type PokeQuestion,
  type PokeSize,
  type PokeStep,
  PROTOCOLS,
  type PreservesQuestion,
  type Protocol,
  type RawCase,
  type RelocationQuestion,
  type Replay,
  type ReplaySide,
  RULES,
  type Rule,
  type RuleNumber,
  type RunQuestion,
  type Segment,
  type Severity,
  SITE_KINDS,
  type SiteAnswer,
  type SiteKind,
  type SiteQuestion,
  stepsOf,
  type TrampolineQuestion,
  type Verdict as CheckVerdict,
} from './check/index.ts';
export * from './core/core.ts';
export type { EngineChoice, Jury } from './engine/confirm.ts';
export { createEngine } from './engine/create.ts';
export * from './engine/engine.ts';
export type { JitMode } from './engine/jit/jit.ts';
export * from './errors.ts';
export { FAULT_POINTS, type FaultOptions, type FaultPoint, type FaultPointInfo, Faults } from './faults.ts';
export type { Ftrace } from './ftrace/ftrace.ts';
export type { HandlerKind, HandlerWarnings } from './ftrace/guest/handlers.ts';
export { Ops, type OpsFlag, type OpsParts, type ShareCommand } from './ftrace/ops.ts';
export type { RecordFlag, SiteState } from './ftrace/record.ts';
export { callBytes, NOP5, SITE_SIZE } from './ftrace/site.ts';
export type { TracerCounts, TracerKind, TracerSpec } from './ftrace/tracer-spec.ts';
export type { Tracers } from './ftrace/tracers.ts';
export { type KernelVersion, opsTrampoline, type TrampolineKind, type TrampolineSpec } from './ftrace/trampoline.ts';
export { ElfFile } from './image/elf.ts';
export type { LoadedImage } from './image/image.ts';
export { loadImage, loadImageBytes } from './image/load.ts';
export type { FunctionInfo, Site } from './image/sites.ts';
export { type EventKind, eventLevel, eventText, type LivepatchEvent, type LogLevel } from './livepatch/events.ts';
export {
  Livepatch,
  type Policy,
  type StackEntry,
  type TransitionMode,
  type TransitionState,
} from './livepatch/livepatch.ts';
export { type DebugLines, type EventHook, Log } from './livepatch/log.ts';
export type {
  Callback,
  CallbackCall,
  Callbacks,
  Func,
  FuncSpec,
  ModuleState,
  ObjectSpec,
  Patch,
  PatchObject,
  PatchSpec,
  StateSpec,
} from './livepatch/patch.ts';
export { type ShadowRequest, ShadowVariables } from './livepatch/shadow.ts';
export type { StackTrace } from './livepatch/stack-check.ts';
export type { SysfsNode } from './livepatch/sysfs.ts';
export { type Task, TaskList } from './livepatch/tasks.ts';
export type { SwitchAnswer, SwitchAttempt, Target } from './livepatch/transition.ts';
export type { Argument, DoubleArgument } from './machine/arguments.ts';
export { GuestHeap } from './machine/guest-heap.ts';
export { GUEST_MAP, type GuestMap, type Region, USER_MAP } from './machine/guest-map.ts';
export type { ImageKind, LoadOptions, Location, ModuleRoutine } from './machine/images.ts';
export type { Parameters } from './machine/parameters.ts';
export { type Service, ServiceCall } from './machine/services.ts';
export {
  type Arrival,
  type CallOptions,
  type CallResult,
  Machine,
  type MachineOptions,
  type MachineSnapshot,
  type ManyCalls,
  type TraceStep,
} from './machine.ts';
export * from './measure/index.ts';
export {
  type PlanEntry,
  type PlanOptions,
  type PlanResult,
  type PlanRow,
  type PlanStep,
  type PlanWarning,
  type PlanWarningKind,
  planScenario,
} from './scenario/plan.ts';
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
export { type JointScenarioResult, type JointStepResult, runTogether } from './scenario/run-together.ts';
export {
  type FunctionVerdict,
  type ImageVerdict,
  type VerifyImageOptions,
  verifyImage,
} from './scenario/verify-image.ts';
export { type JointFunctionVerdict, type JointImageVerdict, verifyTogether } from './scenario/verify-together.ts';
export { decode, decodeOne, type Flow, type Instruction } from './x86/decode.ts';
