// The step `site`: what bytes stand at a function's site, and what it calls.
import { hex, hexBytes, wrap } from '../../address.ts';
import { NOP5, SITE_SIZE } from '../../ftrace/site.ts';
import type { JsonNode } from '../../json.ts';
import type { Machine } from '../../machine.ts';
import { fullName, type NamedFunction, needFunction } from '../names.ts';
import type { Verb } from '../verb.ts';

/**
 * `{"site":"f","bytes":"0f1f440000"}` and `{"site":"f","calls":"nop|ops:f|common|direct:x"}`: `ops` names a function
 * that is livepatched, or a user of ftrace; `direct` such a user, or the trampoline itself.
 */
export const site: Verb = {
  keys: ['bytes', 'calls'],
  expects: ['bytes', 'calls'],
  read(step) {
    const subject = step.need('site');
    const name = subject.name();
    const bytes = step.get('bytes')?.hex();
    const callsNode = step.get('calls');
    const calls = callsNode && readCalls(callsNode);
    return ({ machine }) => {
      const found = needFunction(machine, name, subject);
      const place = siteOf(found, subject);
      const broken: string[] = [];
      const there = machine.read(place, Math.max(bytes?.length ?? 0, SITE_SIZE));
      const seen = hexBytes(there);
      if (bytes !== undefined && hexBytes(there.subarray(0, bytes.length)) !== hexBytes(bytes)) {
        broken.push(`site ${fullName(found)} at ${hex(place)}: expected ${hexBytes(bytes)}, got ${seen}`);
      }
      if (calls !== undefined && callsNode !== undefined) {
        const wanted = calls === 'nop' ? undefined : targetsOf(machine, calls, place, callsNode);
        const target = callTarget(there, place);
        const idle = hexBytes(there.subarray(0, SITE_SIZE)) === hexBytes(NOP5);
        const holds = wanted === undefined ? idle : target !== undefined && wanted.includes(target);
        if (!holds) {
          const expected = wanted === undefined ? 'a NOP5' : `a call of ${describeTarget(calls)}`;
          const got = target === undefined ? seen : `call ${hex(target)}`;
          broken.push(`site ${fullName(found)} at ${hex(place)}: expected ${expected}, got ${got}`);
        }
      }
      return { seen: `${seen} at ${hex(place)}`, broken };
    };
  },
};

/** `nop`, `common`, or who is called. */
function readCalls(node: JsonNode): string {
  const text = node.string();
  if (text === 'nop' || text === 'common' || /^(ops|direct):./.test(text)) return text;
  throw node.error('EINVAL', `expected 'nop', 'ops:NAME', 'common' or 'direct:NAME', got '${text}'`);
}

function describeTarget(calls: string): string {
  if (calls === 'common') return 'a common caller';
  const name = calls.slice(calls.indexOf(':') + 1);
  return calls.startsWith('ops:') ? `the trampoline of '${name}'` : `the direct trampoline of '${name}'`;
}

/** Where the site may call so that it calls what the step says. */
function targetsOf(machine: Machine, calls: string, site: bigint, at: JsonNode): bigint[] {
  const { ftrace, tracers } = machine;
  const { args, regs } = ftrace.callers.caller;
  if (calls === 'common') return [args, regs];
  const name = calls.slice(calls.indexOf(':') + 1);
  if (calls.startsWith('direct:')) {
    if (!tracers.names.includes(name)) return [needFunction(machine, name, at).info.address];
    const { directCall } = tracers.ops(name);
    return directCall === undefined ? [] : [directCall];
  }
  const own = (user: { trampoline: bigint | undefined } | undefined): bigint[] =>
    user?.trampoline === undefined ? [] : [user.trampoline];
  const user = ftrace.usersOf(site).find(({ ops }) => ops.name === name && ops.directCall === undefined);
  if (user !== undefined || tracers.names.includes(name)) return own(user);
  return own(ftrace.usersOf(siteOf(needFunction(machine, name, at), at)).find(({ ops }) => ops.inText));
}

function siteOf({ info }: NamedFunction, at: JsonNode): bigint {
  if (info.site !== undefined) return info.site.address;
  throw at.error('ENODEV', `'${info.name}' has no site: ${info.reason}`);
}

/** Where the `call rel32` at `address` goes, or undefined where none stands there. */
function callTarget(bytes: Uint8Array, address: bigint): bigint | undefined {
  if (bytes[0] !== 0xe8) return undefined;
  const displacement = new DataView(bytes.buffer, bytes.byteOffset).getInt32(1, true);
  return wrap(address + BigInt(SITE_SIZE) + BigInt(displacement));
}
