/** Adds a voice to the call, and invites people where another device can reach this page. */

import { useState } from 'react';
import type { Config } from '../../service/service';
import { addPersona } from '../../service/sessions';
import type { CallState } from '../../session/state/phase';
import { troubleOf } from '../../session/state/trouble';
import { askedFor, choice, isUndescribed, mayDescribe, OWN } from '../../start/choice/choice';
import { mayInvite } from '../../start/choice/link';
import { useRemembered } from '../../store/stored';
import { t } from '../../strings/strings';
import { Dialog } from '../../ui/Dialog';
import { useOnce } from '../../ui/hooks/useOnce';
import { IconButton } from '../../ui/IconButton';
import { Add } from '../../ui/theme/icons';
import './AddButton.css';
import { faceOf } from '../../figure/figureStyle';
import { VoiceFigure } from '../../figure/VoiceFigure';
import { Invitation } from './Invitation';

interface Props {
  state: CallState;
  config: Config;
}

export function AddButton({ state, config }: Props) {
  const [open, setOpen] = useState(false);
  const { session, personas, phase } = state;
  const room = personas.length < config.limits.personas_per_room;
  const maySeat = session !== null && room && phase === 'live';
  const invites = mayInvite(location.href, config.livekit_url);
  if (!maySeat && !invites) return null;
  const label = maySeat ? (invites ? t.adding.both : t.adding.voice) : t.call.invite;
  const close = () => setOpen(false);
  return (
    <>
      <IconButton label={label} className="round framed add" onClick={() => setOpen(true)}>
        <Add />
      </IconButton>
      {open && (
        <Dialog title={label} onClose={close}>
          {maySeat && <Newcomers session={session} config={config} onAdded={close} />}
          {invites && <Invitation session={session} />}
        </Dialog>
      )}
    </>
  );
}

interface NewcomersProps {
  session: string;
  config: Config;
  onAdded: () => void;
}

function Newcomers({ session, config, onAdded }: NewcomersProps) {
  const chosen = useRemembered(choice);
  const [trouble, setTrouble] = useState('');
  const own = { name: OWN, label: chosen.ownLabel || t.start.own, line: t.start.ownLine };
  const described = mayDescribe(config) && !isUndescribed(chosen, [OWN]);
  const [busy, once] = useOnce();
  const add = (name: string) =>
    once(() =>
      addPersona(session, askedFor(chosen, [name], config)).then(onAdded, (error) =>
        setTrouble(troubleOf(error).why),
      ),
    );
  return (
    <>
      <ul className="newcomers">
        {[...config.personas, ...(described ? [own] : [])].map(({ name, label, line }) => (
          <li key={name}>
            <button type="button" className="plain" aria-disabled={busy} onClick={() => add(name)}>
              <VoiceFigure face={faceOf(name, config.personas)} still />
              <span className="words">
                <span className="label">{label}</span>
                <span className="soft">{line}</span>
              </span>
            </button>
          </li>
        ))}
      </ul>
      <p className="soft" role="status">
        {trouble || t.adding.how}
      </p>
    </>
  );
}
