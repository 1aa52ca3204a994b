// In the sources only: gives the worker process a loader of TypeScript first.
import { register } from 'tsx/esm/api';

register();
const { default: judge } = await import('./check-worker.ts');
export default judge;
