// The step `site`: what bytes stand at a function's site, and what it calls.
import { hex, hexBytes, wrap } from '../../address.ts';
import { NOP5, SITE_SIZE } from '../../ftrace/site.ts';
import type { Machine } from '../../machine.ts';
import type { JsonNode } from '../json.ts';
import { fullName, type NamedFunction, needFunction } from '../names.ts';
import type { Verb } from '../verb.ts';

/** `{"site":"f","bytes":"0f1f440000"}` and `{"site":"f","calls":"nop|ops:f"}`. */
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
        const wanted = calls === 'nop' ? undefined : trampolineOf(machine, calls, callsNode);
        const target = callTarget(there, place);
        const holds = calls === 'nop' ? hexBytes(there.subarray(0, SITE_SIZE)) === hexBytes(NOP5) : target === wanted;
        if (!holds || (calls !== 'nop' && wanted === undefined)) {
          const expected = calls === 'nop' ? 'a NOP5' : `a call of the trampoline of '${calls}'`;
          const got = target === undefined ? seen : `call ${hex(target)}`;
          broken.push(`site ${fullName(found)} at ${hex(place)}: expected ${expected}, got ${got}`);
        }
      }
      return { seen: `${seen} at ${hex(place)}`, broken };
    };
  },
};

/** `nop`, or the function whose ops is called. */
function readCalls(node: JsonNode): string {
  const text = node.string();
  if (text === 'nop') return text;
  if (text.startsWith('ops:') && text.length > 4) return text.slice(4);
  if (text === 'common' || text.startsWith('direct:')) throw node.error('ENOTSUPP', `'${text}' is not supported yet`);
  throw node.error('EINVAL', `expected 'nop', 'ops:FUNCTION', 'common' or 'direct:NAME', got '${text}'`);
}

function siteOf({ info }: NamedFunction, at: JsonNode): bigint {
  if (info.site !== undefined) return info.site.address;
  throw at.error('ENODEV', `'${info.name}' has no site: ${info.reason}`);
}

function trampolineOf(machine: Machine, name: string, at: JsonNode): bigint | undefined {
  return machine.ftrace.usersOf(siteOf(needFunction(machine, name, at), at))[0]?.trampoline;
}

/** Where the `call rel32` at `address` goes, or undefined where none stands there. */
function callTarget(bytes: Uint8Array, address: bigint): bigint | undefined {
  if (bytes[0] !== 0xe8) return undefined;
  const displacement = new DataView(bytes.buffer, bytes.byteOffset).getInt32(1, true);
  return wrap(address + BigInt(SITE_SIZE) + BigInt(displacement));
}
