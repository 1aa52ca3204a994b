// In the sources only: a worker thread does not take over the loader of TypeScript from the thread that starts it.
import { register } from 'tsx/esm/api';

register();
const { default: judge } = await import('./check-worker.ts');
export default judge;
