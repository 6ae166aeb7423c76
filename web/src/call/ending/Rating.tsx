/** How it went, of five; asked once, where the operator wants to know. */

import { useState } from 'react';
import { type Rated, rateSession } from '../../service/sessions';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';

const MARKS = [1, 2, 3, 4, 5];

export function Rating({ rated }: { rated: Rated }) {
  const [given, setGiven] = useState(false);
  const rate = (mark: number) => {
    setGiven(true);
    rateSession(rated, mark).catch((error) => {
      setGiven(false);
      journal.add('warning', 'page', t.panels.happenings.notRated, { reason: String(error) });
    });
  };
  return (
    <div tabIndex={-1} className="rating">
      {!given && (
        <fieldset>
          <legend>{t.ending.how}</legend>
          <div className="marks">
            {MARKS.map((mark) => (
              <button
                key={mark}
                type="button"
                className="round framed"
                aria-label={t.ending.mark(mark, MARKS.length)}
                onClick={() => rate(mark)}
              >
                {mark}
              </button>
            ))}
          </div>
          <p className="soft">{t.ending.scale}</p>
        </fieldset>
      )}
      <p className="soft" role="status">
        {given && t.ending.thanks}
      </p>
    </div>
  );
}
