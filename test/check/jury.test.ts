// Several engines judge one question: who leads, what stays unconfirmed, and a difference that fails whatever is printed.
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { type CaseResult, documentOf, isFailure, judgeCase } from '../../src/check/cases.ts';
import { type Answer, type Confirmation, callJury } from '../../src/check/jury.ts';
import { checkDocumentOf, mergeDocuments } from '../../src/check/merge.ts';
import { judgeRelocation } from '../../src/check/relocation.ts';
import { checkText } from '../../src/report/check.ts';
import { checkJunit } from '../../src/report/junit.ts';
import { checkSarif } from '../../src/report/sarif.ts';
import { ENGINES } from '../support/engines.ts';

const plain = (_: string, text: string): string => text;

/** Asks for what each engine is told to say. */
async function asked(
  choice: 'all' | 'auto',
  verdicts: Partial<Record<string, string>>,
): Promise<Answer & Confirmation> {
  const jury = callJury(choice);
  try {
    return await jury.ask(async (engines) => {
      const [{ name }] = await engines();
      return { verdict: verdicts[name] ?? 'equivalent', reason: `says ${name}` };
    });
  } finally {
    jury.dispose();
  }
}

function caseOf(answer: Answer & Confirmation): CaseResult {
  return { id: 'one', kind: 'hook', expected: null, agrees: true, findings: [], ...answer };
}

describe('the engines of a choice', () => {
  test('all are those that are present, auto is wasm and unicorn; the WASM CPU leads', async () => {
    expect(Object.keys((await asked('all', {})).engines ?? {}).sort()).toEqual([...ENGINES].sort());
    const answer = await asked('auto', {});
    expect(answer).toEqual({
      verdict: 'equivalent',
      reason: 'says wasm',
      engines: { wasm: 'equivalent', unicorn: 'equivalent' },
    });
  });

  test('each answers for itself: none asks another kind', async () => {
    const jury = callJury('auto');
    await jury.ask(async (engines) => {
      expect(await engines('other')).toBe(await engines());
      return { verdict: 'equivalent', reason: '' };
    });
    jury.dispose();
    jury.dispose();
  });

  test('what wasm alone judges is unconfirmed, and what Unicorn alone judges too', async () => {
    const alone = await asked('auto', { unicorn: 'not-judged' });
    expect(alone).toMatchObject({ verdict: 'equivalent', reason: 'says wasm' });
    expect(alone.unconfirmed).toBe('unicorn does not judge it: says unicorn');
    const other = await asked('auto', { wasm: 'not-judged', unicorn: 'broken' });
    expect(other).toMatchObject({ verdict: 'broken', reason: 'says unicorn' });
    expect(other.unconfirmed).toBe('wasm does not judge it: says wasm');
  });

  test('what none judges is not judged, and neither confirmed nor unconfirmed', async () => {
    const none = await asked('auto', { wasm: 'not-judged', unicorn: 'not-judged' });
    expect(none.verdict).toBe('not-judged');
    expect(none.unconfirmed).toBeUndefined();
    expect(isFailure(caseOf(none))).toBe(false);
  });
});

describe('a difference', () => {
  const different = async (): Promise<CaseResult> => caseOf(await asked('auto', { unicorn: 'broken' }));

  test('fails the case, even where the file expects what the leader says', async () => {
    const item = await different();
    expect(item.differences).toEqual(['verdict is equivalent on wasm, broken on unicorn']);
    expect(isFailure({ ...item, expected: 'equivalent' })).toBe(true);
    expect(documentOf([item]).summary).toMatchObject({ cases: 1, unconfirmed: 0, differ: 1 });
  });

  test('is in every output', async () => {
    const document = documentOf([{ ...(await different()), expected: 'equivalent' }]);
    const fact = 'verdict is equivalent on wasm, broken on unicorn';
    expect(checkText(document, plain)).toContain(`the engines differ: ${fact}`);
    expect(checkText(document, plain)).toContain('0 as expected, 1 not, 0 not judged, 0 unconfirmed');
    expect(checkJunit(document)).toContain(`<failure type="engines-differ" message="${fact}">`);
    expect(JSON.stringify(checkSarif(document, { version: '0' }))).toContain(
      `"ruleId":"engines-differ","ruleIndex":54,"kind":"fail","level":"error","message":{"text":"one: ${fact}"}`,
    );
  });

  test('survives the way through files and shards; hostile ones are refused', async () => {
    const document = documentOf([await different()], { index: 1, of: 1 });
    const read = checkDocumentOf(JSON.parse(JSON.stringify(document)), 'a.json');
    expect(mergeDocuments([{ file: 'a.json', document: read }]).summary).toEqual(document.summary);
    for (const wrong of [{ differences: 'x' }, { differences: [1] }, { unconfirmed: 1 }, { engines: [1] }]) {
      const cases = [{ ...document.cases[0], ...wrong }];
      expect(() => checkDocumentOf({ ...document, cases }, 'a.json')).toThrow('what several engines said');
    }
  });
});

test('a verdict that rests on popcnt, which unicorn.js does not execute, is unconfirmed; one that is decoded is not', async () => {
  const jury = callJury('auto');
  const swapped = await jury.ask((engines) =>
    judgeRelocation(
      {
        address: 0x401000n,
        bytes: bytesOfHex('b901000000 f30fb8c7'),
        newAddress: 0x10000000n,
        output: bytesOfHex('f30fb8c7 b901000000'),
        bitness: 64,
      },
      engines,
    ),
  );
  expect(swapped).toMatchObject({ verdict: 'equivalent', engines: { wasm: 'equivalent', unicorn: 'not-judged' } });
  expect(swapped.unconfirmed).toContain('refused as an invalid instruction');
  const decoded = await jury.ask((engines) =>
    judgeCase({ id: 'copy', kind: 'relocate-block', address: '0x401000', input: 'f30fb8c7', bitness: 64 }, engines),
  );
  expect(decoded.unconfirmed).toBeUndefined();
  expect(Object.keys(decoded.engines ?? {})).toEqual(['wasm', 'unicorn']);
  jury.dispose();
});

test('one engine by name says nothing of a jury', async () => {
  const jury = callJury('wasm');
  const answer = await jury.ask(async () => ({ verdict: 'equivalent', reason: '' }));
  expect(answer).toEqual({ verdict: 'equivalent', reason: '' });
  jury.dispose();
});
