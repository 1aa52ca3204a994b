// The engine suite on the CPU in WebAssembly.
import { createWasm } from '../../src/engine/wasm.ts';
import { conformance } from './conformance.ts';

conformance('wasm', () => createWasm());
