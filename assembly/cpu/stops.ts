// Addresses at which a run leaves for the host: routines that the host serves, and places where a task is to park.

import { allocateArea, freeArea } from './frames';

/** Addresses, as many as there is room for. */
export const MOST_STOPS: u32 = 512;

let stops: usize = 0;
let count: u32 = 0;

/** Bytes of the list. */
export const STOPS_SIZE: usize = (<usize>MOST_STOPS) << 3;

/** What an address space has of this file. */
//  0 stops u32
//  4 count u32
@unmanaged
export class StopList {
  stops: usize;
  count: u32;
}

export function keepStops(to: StopList): void {
  to.stops = stops;
  to.count = count;
}

export function useStops(from: StopList): void {
  stops = from.stops;
  count = from.count;
}

/** The same stops once more; room was reserved. */
export function forkStops(to: StopList): void {
  to.stops = allocateArea(STOPS_SIZE);
  to.count = count;
  memory.copy(to.stops, stops, (<usize>count) << 3);
}

export function dropStops(): void {
  freeArea(stops, STOPS_SIZE);
}

export function initStops(): bool {
  count = 0;
  stops = allocateArea(STOPS_SIZE);
  return stops != 0;
}

@unmanaged
export class Stops {
  /** Whether runs stop at `address`. */
  @inline
  static has(address: u64): bool {
    return count != 0 && contains(address);
  }

  /** False where there are as many as fit. */
  static add(address: u64): bool {
    if (contains(address)) return true;
    if (count == MOST_STOPS) return false;
    let at = count++;
    for (; at > 0 && Stops.at(at - 1) > address; at--) Stops.put(at, Stops.at(at - 1));
    Stops.put(at, address);
    return true;
  }

  static remove(address: u64): void {
    let at = find(address);
    if (at == count || Stops.at(at) != address) return;
    count--;
    for (; at < count; at++) Stops.put(at, Stops.at(at + 1));
  }

  @inline
  static at(index: u32): u64 {
    return load<u64>(stops + ((<usize>index) << 3));
  }

  @inline
  static put(index: u32, address: u64): void {
    store<u64>(stops + ((<usize>index) << 3), address);
  }
}

/** Index of the first stop at or after `address`. */
function find(address: u64): u32 {
  let low: u32 = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Stops.at(middle) < address) low = middle + 1;
    else high = middle;
  }
  return low;
}

function contains(address: u64): bool {
  const at = find(address);
  return at < count && Stops.at(at) == address;
}
