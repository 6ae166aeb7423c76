/** A way in for a second person or a phone: a link and its QR code, or what is missing for one. */

import { lazy, Suspense, useEffect, useState } from 'react';
import './Invitation.css';
import { inviteGuests } from '../service/sessions';
import { type Trouble, troubleOf } from '../session/trouble';
import { invitationUrl, missingFor } from '../start/link';
import { useCopy } from '../ui/useCopy';

const QrCode = lazy(() => import('./QrCode'));

const LIVES_S = 3600;

interface Props {
  session: string | null;
  room: string | null;
  livekit: string;
}

export function Invitation({ session, room, livekit }: Props) {
  const missing = missingFor(location.href, livekit);
  const { url, trouble } = useInvitation(missing.length ? null : session);
  const [copied, copy] = useCopy();
  if (missing.length) return <Missing reasons={missing} room={room} />;
  if (!session) return <p>Whoever invited you can invite more people.</p>;
  if (trouble) return <p role="alert">{trouble.why}</p>;
  return (
    <div className="invitation">
      <div className="qr">
        <Suspense>{url && <QrCode text={url} />}</Suspense>
      </div>
      <p>For an hour, into this room only. Point a phone at the code, or send the link.</p>
      <div className="link">
        <input readOnly value={url} aria-label="Link" onFocus={(event) => event.target.select()} />
        <button type="button" className="small" disabled={!url} onClick={() => copy(url)}>
          {copied ? 'Copied' : 'Copy'}
        </button>
      </div>
    </div>
  );
}

function Missing({ reasons, room }: { reasons: readonly string[]; room: string | null }) {
  return (
    <div className="invitation">
      <p>Nobody else could come in yet:</p>
      <ul>
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      <p className="soft">
        Page and LiveKit need addresses that others reach, with https and wss: the README tells how
        under “On a GPU host with a domain”.
      </p>
      {room && (
        <p>
          On this machine a second person can come in through{' '}
          <a href={`./?${new URLSearchParams({ room })}`} target="_blank" rel="noopener">
            another tab
          </a>
          .
        </p>
      )}
    </div>
  );
}

/** Ask for a guest's pass once. */
function useInvitation(session: string | null) {
  const [found, setFound] = useState<{ url: string; trouble: Trouble | null }>({
    url: '',
    trouble: null,
  });
  useEffect(() => {
    if (!session) return;
    inviteGuests(session, LIVES_S).then(
      ({ room, bearer }) =>
        setFound({ url: invitationUrl(location.href, room, bearer), trouble: null }),
      (error) => setFound({ url: '', trouble: troubleOf(error) }),
    );
  }, [session]);
  return found;
}
