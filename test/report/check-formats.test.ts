// SARIF and JUnit XML as their readers want them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type CaseResult, type CheckDocument, casesOf, documentOf, judgeCases } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { RULES } from '../../src/check/rules.ts';
import { checkJunit, escaped } from '../../src/report/junit.ts';
import { checkSarif } from '../../src/report/sarif.ts';

let real: CheckDocument;
beforeAll(async () => {
  const file = 'test/check/cases/redirect-cases.json';
  const cases = casesOf(JSON.parse(readFileSync(file, 'utf8')), file).filter((_, i) => i % 4 === 0);
  const keeper = keepEngines();
  real = await judgeCases(cases, keeper.engines);
  keeper.dispose();
});

const odd: CaseResult = {
  id: 'a <b> & "c"',
  kind: "it's",
  verdict: 'broken',
  expected: null,
  agrees: true,
  reason: 'x < y\u0000 ]]> \ud800 end\nnext',
  findings: [
    {
      id: 'a:1',
      rule: 'C9',
      name: 'n',
      severity: 'C',
      level: 'error',
      message: 'm & <n>',
      address: '0xffffffff81000010',
      bytes: 'e8',
      disassembly: 'call',
    },
  ],
};

describe('SARIF', () => {
  type Node = Record<string, unknown>;
  const record = (value: unknown): Node => {
    expect(value).toBeTypeOf('object');
    expect(Array.isArray(value)).toBe(false);
    return value as Node;
  };
  const list = (value: unknown): unknown[] => {
    expect(Array.isArray(value)).toBe(true);
    return value as unknown[];
  };
  /** The schema forbids properties it does not name, and says which must be there. */
  const has = (node: Node, allowed: readonly string[], required: readonly string[] = []) => {
    expect(Object.keys(node).filter((key) => !allowed.includes(key))).toEqual([]);
    expect(required.filter((key) => !(key in node))).toEqual([]);
  };
  const message = (value: unknown) => {
    has(record(value), ['text', 'markdown', 'id', 'arguments', 'properties'], ['text']);
    expect(record(value).text).toBeTypeOf('string');
  };

  /** The rules of the schema of version 2.1.0 for every object that we write. */
  function validate(log: unknown): Node[] {
    const root = record(log);
    has(root, ['$schema', 'version', 'runs', 'inlineExternalProperties', 'properties'], ['version', 'runs']);
    expect(root.version).toBe('2.1.0');
    expect(() => new URL(String(root.$schema))).not.toThrow();
    return list(root.runs).flatMap((value) => {
      const run = record(value);
      has(run, ['tool', 'results', 'properties', 'invocations', 'artifacts', 'columnKind'], ['tool']);
      has(record(run.tool), ['driver', 'extensions', 'properties'], ['driver']);
      const driver = record(record(run.tool).driver);
      has(driver, ['name', 'version', 'semanticVersion', 'informationUri', 'rules', 'properties'], ['name']);
      expect(driver.semanticVersion).toMatch(/^\d+\.\d+\.\d+/);
      const rules = list(driver.rules).map(record);
      expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
      for (const rule of rules) {
        has(rule, ['id', 'name', 'shortDescription', 'fullDescription', 'defaultConfiguration', 'properties'], ['id']);
        message(rule.shortDescription);
        expect(['none', 'note', 'warning', 'error']).toContain(record(rule.defaultConfiguration).level);
      }
      const results = list(run.results).map(record);
      for (const result of results) validateResult(result, rules);
      return results;
    });
  }

  function validateResult(result: Node, rules: readonly Node[]): void {
    has(
      result,
      ['ruleId', 'ruleIndex', 'kind', 'level', 'message', 'locations', 'partialFingerprints', 'properties'],
      ['message'],
    );
    message(result.message);
    expect(rules[Number(result.ruleIndex)]?.id).toBe(result.ruleId);
    expect(['notApplicable', 'pass', 'fail', 'review', 'open', 'informational']).toContain(result.kind);
    expect(['none', 'note', 'warning', 'error']).toContain(result.level);
    // 3.27.10: a result that is no failure has no level
    if (result.kind !== 'fail') expect(result.level).toBe('none');
    for (const value of Object.values(record(result.partialFingerprints ?? {}))) expect(value).toBeTypeOf('string');
    for (const location of list(result.locations).map(record)) {
      has(location, ['id', 'physicalLocation', 'logicalLocations', 'message', 'properties']);
      for (const logical of list(location.logicalLocations).map(record)) {
        has(logical, ['name', 'index', 'fullyQualifiedName', 'decoratedName', 'parentIndex', 'kind', 'properties']);
      }
      if (location.physicalLocation === undefined) continue;
      const physical = record(location.physicalLocation);
      has(physical, ['address', 'artifactLocation', 'region', 'contextRegion', 'properties']);
      // the schema asks for one of the two
      expect(physical.address !== undefined || physical.artifactLocation !== undefined).toBe(true);
      if (physical.artifactLocation !== undefined) {
        const { uri } = record(physical.artifactLocation);
        expect(String(uri)).not.toMatch(/[ "<>\\^`{|}]/);
      }
      if (physical.address !== undefined) {
        const address = record(physical.address);
        has(address, ['absoluteAddress', 'relativeAddress', 'length', 'kind', 'name', 'fullyQualifiedName', 'index']);
        for (const name of ['absoluteAddress', 'length']) {
          if (address[name] !== undefined) expect(Number.isSafeInteger(address[name]), name).toBe(true);
        }
      }
    }
  }

  test('of the shared cases holds to the schema, one result for each finding and each case that is not judged', () => {
    const results = validate(JSON.parse(JSON.stringify(checkSarif(real, { version: '0.1.0', file: 'a b.json' }))));
    const findings = real.cases.reduce((sum, { findings: all }) => sum + all.length, 0);
    expect(findings).toBeGreaterThan(5);
    expect(real.summary.notJudged).toBeGreaterThan(0);
    expect(results).toHaveLength(findings + real.summary.notJudged);
    expect(results.filter(({ kind }) => kind === 'open')).toHaveLength(real.summary.notJudged);
  });

  test('of odd names and high addresses holds to the schema', () => {
    const log = checkSarif(documentOf([{ ...odd, file: '/tmp/a b#c.json' }]), { version: '0.1.0' });
    const [result] = validate(JSON.parse(JSON.stringify(log)));
    expect(JSON.stringify(result)).toContain('file:///tmp/a%20b%23c.json');
    expect(JSON.stringify(result)).toContain('"name":"0xffffffff81000010"');
    expect(JSON.stringify(result)).not.toContain('absoluteAddress');
  });

  test('a document that breaks the schema would be noticed', () => {
    const log = JSON.parse(JSON.stringify(checkSarif(documentOf([odd]), { version: '0.1.0' })));
    log.runs[0].results[0].level = 'fatal';
    expect(() => validate(log)).toThrow();
  });

  test('describes every check', () => {
    const text = JSON.stringify(checkSarif(documentOf([]), { version: '0.1.0' }));
    for (const { number } of RULES) expect(text).toContain(`"id":"${number}"`);
  });
});

describe('JUnit XML', () => {
  /** The attributes of each element, read by a parser that is not ours. */
  function parsed(xml: string): { tag: string; attributes: Record<string, string>; text: string }[] {
    const script = `
import json, sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
print(json.dumps([{"tag": e.tag, "attributes": e.attrib, "text": (e.text or "")} for e in root.iter()]))`;
    return JSON.parse(execFileSync('python3', ['-c', script], { input: xml, encoding: 'utf8' }));
  }

  test('of odd names is well formed, and gives them back', () => {
    const elements = parsed(checkJunit(documentOf([odd])));
    const [test] = elements.filter(({ tag }) => tag === 'testcase');
    expect(test?.attributes).toEqual({ classname: "tramp64.it's", name: 'a <b> & "c"' });
    const [failure] = elements.filter(({ tag }) => tag === 'failure');
    expect(failure?.attributes.type).toBe('C9');
    expect(failure?.attributes.message).toBe('broken: x < y\ufffd ]]> \ufffd end\nnext');
    expect(failure?.text).toContain('m & <n>');
  });

  test('counts as the document does: what was not judged is skipped', () => {
    const elements = parsed(checkJunit(real));
    const [root] = elements;
    expect(Number(root?.attributes.tests)).toBe(real.cases.length);
    expect(Number(root?.attributes.skipped)).toBe(real.summary.notJudged);
    expect(Number(root?.attributes.failures)).toBe(elements.filter(({ tag }) => tag === 'failure').length);
    expect(elements.filter(({ tag }) => tag === 'skipped')).toHaveLength(real.summary.notJudged);
    const suites = elements.filter(({ tag }) => tag === 'testsuite');
    expect(suites.map(({ attributes }) => attributes.name)).toEqual(Object.keys(real.summary.byKind));
  });

  test('keeps characters beyond the first plane', () => {
    expect(escaped('\u{1f600}')).toBe('\u{1f600}');
  });
});
