// A table that lets Unicorn try everything: only for finding out what it executes rightly.

import { Mnemonic } from 'iced-x86';
import type { ExecutionTable } from '../../src/engine/judge.ts';

/** Every mnemonic counts as right. */
export const EVERYTHING: ExecutionTable = {
  engine: 'Unicorn, unjudged',
  mnemonics: new Set(Object.keys(Mnemonic).map((name) => name.toLowerCase())),
  wrong: new Map(),
  wrongWith: new Map(),
};
