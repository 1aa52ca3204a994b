// tramp64's public API.
export * from './address.ts';
export * from './engine/engine.ts';
export { createUnicorn } from './engine/unicorn.ts';
export * from './errors.ts';
export * from './x86/decode.ts';
