// docs/scenario.md: every step of the schema has a section that names its keys, and every example does what it says.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import { runScenario } from '../../src/scenario/run.ts';
import { read } from './world.ts';

const docs = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

interface Variant {
  required: [string, ...string[]];
  properties: Record<string, { enum?: unknown[] }>;
}

const variants: Variant[] = JSON.parse(docs('scenario.schema.json')).$defs.step.oneOf;
const [introduction = '', ...parts] = docs('scenario.md').split(/^### /m);
/** The sections by their verb. */
const sections = new Map(parts.map((text) => [/^`(\w+)`$/m.exec(text)?.[1] ?? '', text.split(/^## /m)[0] ?? '']));

function examplesIn(text: string): unknown[] {
  return [...text.matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(([, body = '']) => JSON.parse(body) as unknown);
}

const [base] = examplesIn(introduction) as [object];

test('there is one section for each verb of the schema, and none besides', () => {
  expect([...sections.keys()].sort()).toEqual(variants.map(({ required: [verb] }) => verb).sort());
});

describe.each(variants)('$required.0', ({ required: [verb], properties }) => {
  const section = sections.get(verb) ?? '';
  const examples = examplesIn(section);

  test('names every key, and every word that the verb takes', () => {
    const words = Object.keys(properties).concat(verb === 'inject' ? [] : (properties[verb]?.enum ?? []).map(String));
    const unnamed = words.filter((word) => !section.includes(`\`${word}\``) && !section.includes(`"${word}"`));
    expect(unnamed).toEqual([]);
  });

  test('has an example with this step, and every step of it holds', async () => {
    expect(JSON.stringify(examples)).toContain(`"${verb}":`);
    expect(examples).not.toEqual([]);
    for (const example of examples) {
      const scenario = { ...base, ...(Array.isArray(example) ? { steps: example } : (example as object)) };
      const { steps } = await runScenario(parseScenario(JSON.stringify(scenario)), { read, engine: 'wasm' });
      expect(steps.filter(({ verdict }) => verdict !== 'holds')).toEqual([]);
      expect(steps.length).toBeGreaterThan(0);
    }
  });
});
