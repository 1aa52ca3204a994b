// Every emission of an event is needed: where it is taken out, a scenario with an exact log fails.
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { EVENT_KINDS, type EventKind } from '../../src/livepatch/events.ts';
import { failures, openScenario, scenarioFiles, titleOf } from './scenario-files.ts';

const EVENTS = scenarioFiles('events');
const FILES = [...scenarioFiles('selftests'), ...EVENTS];

/** Where the sources emit an event: `transition.ts:81 starting`. */
interface Site {
  readonly file: string;
  readonly line: number;
  readonly kind: EventKind;
}

const siteName = ({ file, line, kind }: Site): string => `${file}:${line} ${kind}`;

/** Where a kind of event stands as the kind of an object, outside the table of events. */
function emissionSites(): Site[] {
  return ['livepatch', 'machine'].flatMap((part) => {
    const folder = fileURLToPath(new URL(`../../src/${part}/`, import.meta.url));
    return readdirSync(folder)
      .filter((file) => file.endsWith('.ts') && file !== 'events.ts')
      .flatMap((file) =>
        readFileSync(`${folder}${file}`, 'utf8')
          .split('\n')
          .flatMap((text, i) => {
            // kinds of other things are written in the same way
            const kind = EVENT_KINDS.find((one) => text.includes(`{ kind: '${one}'`));
            return kind === undefined ? [] : [{ file, line: i + 1, kind }];
          }),
      );
  });
}

/** An emission that spans lines is seen at its first one. */
const SPAN = 3;

/** The site that the running emission comes from. */
function siteOf(kind: EventKind, sites: readonly Site[]): Site | undefined {
  const frames = [...(new Error().stack ?? '').matchAll(/\/([\w-]+\.ts):(\d+):\d+/g)];
  for (const [, file, line] of frames) {
    const near = sites.filter((one) => one.kind === kind && one.file === file);
    const found = near.find((one) => Math.abs(one.line - Number(line)) <= SPAN);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Runs a scenario with some emissions taken out; whether every step holds. */
async function holdsWithout(file: string, taken: (site: Site | undefined) => boolean): Promise<boolean> {
  const run = await openScenario(file);
  const { log } = run.machine;
  const emit = log.emit.bind(log);
  log.emit = (event) => {
    if (!taken(siteOf(event.kind, SITES))) emit(event);
  };
  return failures(run).length === 0;
}

const SITES = emissionSites();
/** An event without a line is told to the hook alone; its test is in test/machine/guest-modules.test.ts. */
const LOGGED = SITES.filter(({ kind }) => kind !== 'noPreviousState');

describe.each(['core', 'guest'] as const)('with the handler %s, the log of', (handler) => {
  test.each(EVENTS.map((file) => [titleOf(file), file]))('%s', async (_, file) => {
    expect(failures(await openScenario(file, { handler }))).toEqual([]);
  });
});

describe('taking out the emission at', () => {
  /** Which scenarios come to a site. */
  const reached = new Map<Site, string[]>();

  beforeAll(async () => {
    for (const file of FILES) {
      const seen = new Set<Site>();
      await holdsWithout(file, (site) => {
        if (site !== undefined) seen.add(site);
        return false;
      });
      for (const site of seen) reached.set(site, [...(reached.get(site) ?? []), file]);
    }
  });

  test.each(LOGGED.map((site) => [siteName(site), site] as const))('%s makes a scenario fail', async (_, site) => {
    const files = reached.get(site) ?? [];
    expect(
      files.map((file) => basename(file)),
      'scenarios that come there',
    ).not.toEqual([]);
    for (const file of files) if (!(await holdsWithout(file, (one) => one === site))) return;
    expect.fail(`no scenario misses it among ${files.map((file) => basename(file)).join(', ')}`);
  });

  test('covers every kind of event', () => {
    expect([...new Set(SITES.map(({ kind }) => kind))].sort()).toEqual([...EVENT_KINDS].sort());
    expect(new Set(LOGGED.map(siteName)).size).toBe(LOGGED.length);
  });
});
