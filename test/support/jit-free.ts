// Test files that make no WASM CPU whose JIT is as TRAMP64_JIT says: a run under TRAMP64_JIT leaves them out.
import { expect } from 'vitest';
import { JIT_FREE } from './jit-free-files.ts';

// Every other run sees to it that the list is true: in these files, and in what they start, such a CPU cannot be made.
const file = expect.getState().testPath?.replaceAll('\\', '/');
if (JIT_FREE.some((one) => file?.endsWith(`/${one}`))) process.env.TRAMP64_JIT = 'none: this test is in JIT_FREE';
