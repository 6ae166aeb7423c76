/** What a person should know before the first click: AI voices, their language, where sound goes. */

import { isOwn } from '../service/ownMachine';
import type { Config } from '../service/service';
import { t } from '../strings/strings';

export function Disclaimer({ config }: { config: Config }) {
  const { languages, livekit_url, people_words, page } = config;
  const host = new URL(livekit_url).hostname;
  return (
    <p className="disclaimer">
      {t.start.aiVoices(namesOf(languages))}{' '}
      {isOwn(host) ? t.start.staysHere : t.start.goesTo(host)}
      {people_words.written && ` ${t.start.writtenToo}`}
      {page.terms && <OperatorLink url={page.terms} label={t.start.terms} />}
      {page.privacy && <OperatorLink url={page.privacy} label={t.start.privacy} />}
    </p>
  );
}

function OperatorLink({ url, label }: { url: string; label: string }) {
  return (
    <>
      {' '}
      <a href={url} target="_blank" rel="noreferrer">
        {label}
      </a>
    </>
  );
}

/** Languages in the page's own, as a list. */
function namesOf(languages: readonly string[]): string {
  const names = new Intl.DisplayNames(t.language, { type: 'language' });
  const list = new Intl.ListFormat(t.language);
  return list.format(languages.map((each) => names.of(each) ?? each));
}
