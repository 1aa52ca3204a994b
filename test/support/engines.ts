// The engines that are present on this host, for tests that hold on every one.
import type { EngineName } from '../../src/engine/engine.ts';
import { missingUnicorn } from './native-unicorn.ts';

export const ENGINES: readonly EngineName[] =
  missingUnicorn === undefined ? ['unicorn', 'unicorn-native', 'wasm'] : ['unicorn', 'wasm'];
