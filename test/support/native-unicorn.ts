// Whether the system's Unicorn is here: tests of it are skipped elsewhere, and say why.
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import { EngineError } from '../../src/errors.ts';

/** Why there is no engine `unicorn-native`, or undefined where there is one. */
export const missingUnicorn: string | undefined = await createUnicornNative().then(
  (engine) => void engine.dispose(),
  (error: unknown) => {
    if (error instanceof EngineError && error.code === 'ENODEV') return error.message;
    throw error;
  },
);
