// The dispatchers under test: the release build, the debug build and the reference, behind one face.
import { readFileSync } from 'node:fs';
import { Core } from '../../src/core/core.ts';
import { Instance } from '../../src/wasm/instance.ts';
import { Reference } from './reference.ts';

/** What the suites use of a core. */
export type Dispatcher = Pick<
  Core,
  | 'addTask'
  | 'counters'
  | 'dispatch'
  | 'patchState'
  | 'pushFunc'
  | 'recursionEnter'
  | 'recursionLeave'
  | 'removeFunc'
  | 'removeTask'
  | 'setContext'
  | 'setPatchState'
  | 'setPatchStateAll'
  | 'setTransition'
  | 'stack'
  | 'tasksIn'
>;

/** An entry of a stack. */
export type Entry = ReturnType<Dispatcher['stack']>[number];

/** Capacities of the pools. */
export interface Room {
  sites: number;
  funcs: number;
  tasks: number;
}

export const SUBJECTS = ['release', 'debug', 'reference'] as const;
export type SubjectName = (typeof SUBJECTS)[number];

/** A core of the release or the debug build. */
export async function makeCore(name: 'release' | 'debug', room: Room): Promise<Core> {
  return Core.create({ ...room, instance: await makeInstance(name) });
}

/** A bare instance of either build. */
export async function makeInstance(name: 'release' | 'debug'): Promise<Instance> {
  return name === 'release'
    ? Instance.create()
    : Instance.create(new Uint8Array(readFileSync('build/core.debug.wasm')));
}

export async function makeSubject(name: SubjectName, room: Room): Promise<Dispatcher> {
  return name === 'reference' ? new Reference(room) : makeCore(name, room);
}

/** The errno name an action fails with, or undefined. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code);
    throw error;
  }
  return undefined;
}
