import { afterEach, expect, test, vi } from 'vitest';
import { speak, t } from './strings';

vi.stubGlobal('document', { documentElement: { lang: '' } });
afterEach(() => speak(['en']));

test.each([
  [['de-AT', 'en'], 'de'],
  [['fr'], 'fr'],
  [['en-GB', 'de'], 'en'],
  [['xx', 'fr-CA'], 'fr'],
  [['xx'], 'en'],
  [[], 'en'],
])('who reads %j reads the page in “%s”', async (languages, language) => {
  await speak(languages);

  expect([t.language, document.documentElement.lang]).toEqual([language, language]);
});

test.each(['en', 'de', 'fr'])('“%s” names the settings as they are headed', async (language) => {
  await speak([language]);

  expect(t.trouble.input.todo).toContain(t.tuning.title);
});

test.each(['en', 'de', 'fr'])('“%s” counts the place in the line', async (language) => {
  await speak([language]);

  expect(t.call.inLine(1)).not.toContain('1');
  expect(t.call.inLine(3)).toContain('3');
});

test.each(['en', 'de', 'fr'])(
  '“%s” has words that fit a call’s buttons at 320 px',
  async (language) => {
    await speak([language]);
    const { mute, unmute, hangUp, cancel, leaveLine } = t.call;

    for (const out of [hangUp, cancel, leaveLine])
      expect(out.length + Math.max(mute.length, unmute.length)).toBeLessThanOrEqual(20);
  },
);
