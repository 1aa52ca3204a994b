// The engine suite, on each engine that is present.
import { createUnicorn } from '../../src/engine/unicorn.ts';
import { conformance } from './conformance.ts';

conformance('unicorn', createUnicorn);
