// The kernel log of one machine: lines in order, events with their text.
import type { ErrnoName } from '../errors.ts';
import { PatchError } from '../errors.ts';
import { eventLine, eventText, isSwitchAttempt, type LivepatchEvent } from './events.ts';

/** Lines that are kept; older ones are dropped, as a kernel's ring buffer does. */
const KEPT = 1 << 16;

/** Told of each event as it happens. */
export type EventHook = (event: LivepatchEvent) => void;

/**
 * Which debug lines of kernel/livepatch are on: all, or those that the kernel's selftests switch on, which leave out
 * klp_try_switch_task (L69).
 */
export type DebugLines = 'selftests' | 'all';

/** The log. */
export class Log {
  readonly #onEvent: EventHook | undefined;
  readonly #debug: DebugLines;
  #lines: string[] = [];

  /** @param from that of the machine that this one is a fork of */
  constructor(onEvent?: EventHook, debug: DebugLines = 'selftests', from?: Log) {
    this.#onEvent = onEvent;
    this.#debug = debug;
    if (from !== undefined) this.#lines = [...from.#lines];
  }

  /** Logs an event; the hook is told of all of them. */
  emit(event: LivepatchEvent): void {
    this.#onEvent?.(event);
    const line = eventLine(event);
    if (line !== undefined && (this.#debug === 'all' || !isSwitchAttempt(event))) this.say(line);
  }

  /** Writes a line of someone else's: a module's, or a script's. */
  say(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > 2 * KEPT) this.#lines = this.#lines.slice(-KEPT);
  }

  /** Adds to the last line, where there is one since the last `take` (KERN_CONT). */
  append(text: string): void {
    this.say((this.#lines.pop() ?? '') + text);
  }

  /** The lines since the last call. */
  take(): string[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  /** Logs an event and makes the error that says the same. */
  refuse(code: ErrnoName, event: LivepatchEvent, options: { operation: string; patch?: string; func?: string }) {
    this.emit(event);
    return new PatchError(code, eventText(event), options);
  }
}
