// Where the verbs find the reader of JSON values.
export { JsonNode } from '../json.ts';
