// What guest modules import from the kernel and the host serves: printk, kmalloc, and the calls of livepatch.
import type { Engine } from '../engine/engine.ts';
import { PatchError, SiteError } from '../errors.ts';
import { GuestMemory } from '../livepatch/guest-memory.ts';
import { findState } from '../livepatch/guest-patch.ts';
import type { Livepatch } from '../livepatch/livepatch.ts';
import type { Log } from '../livepatch/log.ts';
import type { ShadowConstructor, ShadowDestructor, ShadowVariables } from '../livepatch/shadow.ts';
import type { GuestHeap } from './guest-heap.ts';
import type { Images } from './images.ts';
import { readGuest, specAt } from './patch-struct.ts';
import { formatText, MAX_RECORD, recordOf } from './printk.ts';
import type { Service, ServiceCall } from './services.ts';

/** What the services work with. */
export interface KernelServiceParts {
  readonly engine: Engine;
  readonly images: Images;
  readonly log: Log;
  readonly livepatch: Livepatch;
  readonly heap: GuestHeap;
  readonly shadow: ShadowVariables;
  /** Calls a guest function as the task that called the service; its rax. */
  runGuest(task: string, target: bigint, args: readonly bigint[]): bigint;
}

/** __GFP_ZERO of 6.1 and 6.12. */
const GFP_ZERO = 0x100n;

/** Every routine by the name that modules import it by. */
export function kernelServices(parts: KernelServiceParts): ReadonlyMap<string, Service> {
  const { heap, livepatch, shadow } = parts;
  const printk: Service = (call) => BigInt(print(call, parts));
  const zeroed = (flags: bigint): boolean => (flags & GFP_ZERO) !== 0n;
  const bySize: Service = (call) => heap.allocate(call.argument(0), zeroed(call.argument(1)));
  const ofCache: Service = (call) => heap.allocate(call.argument(2), zeroed(call.argument(1)));
  return new Map<string, Service>(
    Object.entries({
      _printk: printk,
      printk,
      // 6.1 and 6.12 make kmalloc and kzalloc of these, by whether the size is constant
      __kmalloc: bySize,
      __kmalloc_noprof: bySize,
      kmalloc_large: bySize,
      __kmalloc_large_noprof: bySize,
      kmalloc_trace: ofCache,
      __kmalloc_cache_noprof: ofCache,
      kmalloc: bySize,
      kzalloc: (call) => heap.allocate(call.argument(0), true),
      kfree: (call) => {
        heap.free(call.argument(0));
        return 0n;
      },
      klp_enable_patch: (call) => enablePatch(call.argument(0), parts),
      klp_get_state: (call) => findState(memoryOf(parts, 'klp_get_state'), call.argument(0), call.argument(1)),
      klp_get_prev_state: (call) => livepatch.previousState(call.argument(0))?.struct ?? 0n,
      klp_shadow_get: (call) => shadow.get(call.argument(0), call.argument(1)) ?? 0n,
      klp_shadow_alloc: (call) => shadow.allocate(shadowRequest(call, parts)) ?? 0n,
      klp_shadow_get_or_alloc: (call) => shadow.getOrAllocate(shadowRequest(call, parts)) ?? 0n,
      klp_shadow_free: (call) => {
        shadow.free(call.argument(0), call.argument(1), guestDestructor(call, call.argument(2), parts));
        return 0n;
      },
      klp_shadow_free_all: (call) => {
        shadow.freeAll(call.argument(0), guestDestructor(call, call.argument(1), parts));
        return 0n;
      },
    } satisfies Record<string, Service>),
  );
}

/**
 * klp_enable_patch as a module's init calls it: 0 or -errno (L9–L20).
 * @throws {EngineError} a callback that faulted or that spent its budget: the kernel would have stopped there as well
 */
function enablePatch(address: bigint, { images, engine, log, livepatch }: KernelServiceParts): bigint {
  try {
    livepatch.enable(specAt(address, { images, engine, log }));
    return 0n;
  } catch (error) {
    if (error instanceof PatchError || error instanceof SiteError) return BigInt(error.errno);
    throw error;
  }
}

/** Logs what printk is given; the number of characters. */
function print(call: ServiceCall, { engine, images, log }: KernelServiceParts): number {
  const read = (at: bigint, size: number): Uint8Array | undefined => readGuest(engine, at, size);
  let format: string;
  try {
    format = new GuestMemory(read, { operation: 'printk' }).text(call.argument(0), 'the format', MAX_RECORD);
  } catch (error) {
    // check_pointer of vsnprintf looks at the arguments alone, but a format that is not there is no reason to stop
    if (!(error instanceof PatchError)) throw error;
    format = '(efault)';
  }
  let next = 1;
  const text = formatText(format, {
    next: () => call.argument(next++),
    read,
    symbol: (address, offset) => images.symbolText(address, offset),
  });
  const { continues, lines } = recordOf(text);
  const [first = '', ...rest] = lines;
  if (continues) log.append(first);
  else log.say(first);
  for (const line of rest) log.say(line);
  return text.length;
}

function shadowRequest(call: ServiceCall, parts: KernelServiceParts) {
  const [object, id, size] = [call.argument(0), call.argument(1), call.argument(2)];
  return { object, id, size, ctor: guestConstructor(call, call.argument(4), call.argument(5), parts) };
}

function guestConstructor(
  { task }: ServiceCall,
  target: bigint,
  data: bigint,
  { runGuest }: KernelServiceParts,
): ShadowConstructor | undefined {
  if (target === 0n) return undefined;
  return (object, place) => Number(BigInt.asIntN(32, runGuest(task.name, target, [object, place, data])));
}

function guestDestructor(
  { task }: ServiceCall,
  target: bigint,
  { runGuest }: KernelServiceParts,
): ShadowDestructor | undefined {
  if (target === 0n) return undefined;
  return (object, place) => void runGuest(task.name, target, [object, place]);
}

function memoryOf({ engine }: KernelServiceParts, operation: string): GuestMemory {
  return new GuestMemory((at, size) => readGuest(engine, at, size), { operation });
}
