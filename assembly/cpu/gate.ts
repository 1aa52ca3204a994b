// The gate: where the guest asks where to go. The core's dispatch answers inside WASM, or the host does.

import { Dispatch } from '../dispatch';
import { Sites } from '../func-stacks';
import { Answer } from './blocks';
import { gateEntered } from './host';
import { GENERAL, RCX, RDI, RIP, RSP, TASK } from './state';
import { Tlb } from './tlb';

/** The host's answer, low half first. */
export const GATE_ANSWER: usize = memory.data(8, 8);
/** Offset of ip in pt_regs (C24). */
const REGS_IP: u64 = 0x80;
/** Bytes of the site: falling through goes on after them (F24). */
const SITE: u64 = 5;
let inWasm: bool = false;

/** Whether the core answers. */
export function isGateInWasm(): bool {
  return inWasm;
}

/** true: the core answers; false: the host. */
export function setGateInWasm(on: bool): void {
  inWasm = on;
}

/** The core's answer, for a trace that stores it and returns by itself; 0: the gate is the interpreter's to pass. */
export function traceGate(ip: u64): u64 {
  if (!inWasm || ip + SITE == 0) return 0;
  return ask(ip);
}

/** What the core answers: the new function, or what follows the site. */
function ask(ip: u64): u64 {
  const site = Sites.find(ip);
  const newFunc = Dispatch.at(site, load<u32>(TASK));
  if (!newFunc) return ip + SITE;
  Answer.expect(site, newFunc);
  return newFunc;
}

/** Runs the gate and its ret: RIP is the caller's next instruction; false with a fault recorded. */
export function enterGate(): bool {
  const ip = load<u64>(GENERAL, RDI);
  let answer: u64 = 0;
  if (inWasm) {
    answer = ask(ip);
  } else {
    gateEntered(<u32>ip, <u32>(ip >> 32));
    answer = load<u64>(GATE_ANSWER);
  }
  Tlb.silence(true);
  const done = answerAndReturn(answer);
  Tlb.silence(false);
  return done;
}

function answerAndReturn(answer: u64): bool {
  if (!Tlb.store<u64>(load<u64>(GENERAL, RCX) + REGS_IP, answer)) return false;
  const sp = load<u64>(GENERAL, RSP);
  const at = Tlb.reader(sp, 8);
  if (!at) return false;
  store<u64>(GENERAL, sp + 8, RSP);
  store<u64>(RIP, load<u64>(at));
  return true;
}
