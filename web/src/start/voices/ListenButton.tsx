/** Plays what a voice sounds like, one voice at a time. */

import { useEffect, useRef, useState } from 'react';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';
import { IconButton } from '../../ui/IconButton';
import { Play, Stop } from '../../ui/theme/icons';

/** What stops the voice that sounds now. */
let stopOther: () => void = () => undefined;

interface Props {
  /** Whose voice it is, for a screen reader. */
  label: string;
  url: string;
}

export function ListenButton({ label, url }: Props) {
  const [sounds, setSounds] = useState(false);
  const audio = useRef<HTMLAudioElement>(null);
  const stop = () => {
    audio.current?.pause();
    setSounds(false);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: another voice, or none, ends this one
  useEffect(() => () => audio.current?.pause(), [url]);

  const listen = () => {
    stopOther();
    if (sounds) return;
    const sound = new Audio(url);
    audio.current = sound;
    sound.onended = stop;
    stopOther = stop;
    setSounds(true);
    sound.play().catch((error) => {
      stop();
      journal.add('warning', 'page', t.panels.happenings.notPlayed, { reason: String(error) });
    });
  };
  const words = sounds ? t.start.silence(label) : t.start.listen(label);
  return (
    <IconButton label={words} className="round listen" onClick={listen}>
      {sounds ? <Stop /> : <Play />}
    </IconButton>
  );
}
