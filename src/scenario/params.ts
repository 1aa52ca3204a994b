// Module parameters as a scenario writes them: a text, an integer, or true and false.

import type { JsonNode } from '../json.ts';
import type { Parameters } from '../machine/parameters.ts';

/** `{"pre_patch_ret": -19, "text": "…", "flag": true}`. */
export function readParams(node: JsonNode | undefined): Parameters {
  const params: Record<string, string | bigint | boolean> = Object.create(null);
  for (const [name, value] of node?.entries() ?? []) {
    if (name === '') throw value.error('EINVAL', 'a parameter has a name');
    params[name] = readValue(value);
  }
  return params;
}

function readValue(node: JsonNode): string | bigint | boolean {
  if (typeof node.value === 'number') return node.integer();
  if (typeof node.value === 'boolean') return node.value;
  const text = node.string();
  if (text.includes('\0')) throw node.error('EINVAL', 'a parameter holds no NUL');
  return text;
}
