// The edges of single instructions, on each engine that is present.
import { test } from 'vitest';
import { createUnicorn } from '../../src/engine/unicorn.ts';
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import { createWasm } from '../../src/engine/wasm.ts';
import { missingUnicorn } from '../support/native-unicorn.ts';
import { edges } from './edges.ts';

/** What both builds of Unicorn do otherwise than the bare CPU; test/metal/README.md has the list with who is right. */
const UNICORN_WRONG = [
  'a store that crosses into nothing writes nothing',
  'a read-modify-write that crosses into nothing changes nothing',
  'movaps of a misaligned address is #GP',
  'movaps to a misaligned address writes nothing',
  'paddb of a misaligned operand is #GP',
  'a jump to an address that is not canonical is #GP at the jump',
  'a return to an address that is not canonical is #GP at the return',
  '16 bytes are #GP',
];
/** libunicorn 2.0.1 ends the process. */
const NATIVE_DEADLY = ['lock on what reads only is #UD'];

edges('wasm', () => createWasm());
edges('unicorn', () => createUnicorn(), UNICORN_WRONG);
if (missingUnicorn === undefined) edges('unicorn-native', () => createUnicornNative(), UNICORN_WRONG, NATIVE_DEADLY);
else test.skip(`engine unicorn-native at the edges (skipped: ${missingUnicorn})`, () => undefined);
