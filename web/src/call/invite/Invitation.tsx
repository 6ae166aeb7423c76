/** A way in for a second person or a phone: a link and its QR code. */

import { useEffect, useState } from 'react';
import { t } from '../../strings/strings';
import './Invitation.css';
import { inviteGuests } from '../../service/sessions';
import { type Trouble, troubleOf } from '../../session/state/trouble';
import { invitationUrl } from '../../start/choice/link';
import { useCopy } from '../../ui/hooks/useCopy';
import { QrCode } from './QrCode';

const LIVES_S = 3600;

export function Invitation({ session }: { session: string | null }) {
  const { url, trouble } = useInvitation(session);
  const [copyWord, copy] = useCopy(t.invitation.copy);
  if (!session) return <p>{t.invitation.byOthers}</p>;
  if (trouble) return <p role="alert">{trouble.why}</p>;
  return (
    <div className="invitation">
      <div className="qr">{url && <QrCode text={url} />}</div>
      <p>{t.invitation.how}</p>
      <div className="link">
        <input
          readOnly
          value={url}
          aria-label={t.invitation.link}
          onFocus={(event) => event.target.select()}
        />
        <button type="button" className="small" aria-disabled={!url} onClick={() => copy(url)}>
          {copyWord}
        </button>
      </div>
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
