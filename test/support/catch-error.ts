// Gives back the error that an action throws, checked for its class.

/** The error of class `type` that `action` throws; any other outcome is itself an error. */
export function catchError<T extends Error>(type: abstract new (...args: never[]) => T, action: () => unknown): T {
  try {
    action();
  } catch (error) {
    if (error instanceof type) return error;
    throw error;
  }
  throw new Error(`expected a ${type.name}, nothing was thrown`);
}
