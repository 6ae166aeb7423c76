/** The words to keep: copied, or as a file. */

import { t } from '../../strings/strings';
import { asText, asVtt } from './captions';
import './SaveTranscript.css';
import type { Sound } from '../../session/sound/keptSound';
import type { Segment } from '../../session/transcript/transcript';
import { useCopy } from '../../ui/hooks/useCopy';

const READ_WITHIN_MS = 60_000; // Safari on iOS asks the person first, and reads it then

interface Props {
  segments: readonly Segment[];
  /** Of a call that is over. */
  sound?: Sound | null;
}

export function SaveTranscript({ segments, sound = null }: Props) {
  const [copyWord, copy] = useCopy(t.transcript.copy);
  return (
    <div className="take-away">
      <button type="button" className="link" onClick={() => copy(asText(segments))}>
        {copyWord}
      </button>
      <button type="button" className="link" onClick={() => saveText('txt', asText(segments))}>
        {t.transcript.text}
      </button>
      <button type="button" className="link" onClick={() => saveText('vtt', asVtt(segments))}>
        WebVTT
      </button>
      {sound && (
        <button type="button" className="link" onClick={() => saveSound(sound.blob)}>
          {t.ending.sound(Math.max(1, Math.round(sound.minutes)))}
        </button>
      )}
    </div>
  );
}

function saveText(ending: 'txt' | 'vtt', text: string): void {
  const type = ending === 'vtt' ? 'text/vtt' : 'text/plain';
  save(ending, new Blob([text], { type: `${type};charset=utf-8` }));
}

function saveSound(blob: Blob): void {
  save(blob.type.startsWith('audio/mp4') ? 'm4a' : 'webm', blob);
}

function save(ending: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = `conversation.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), READ_WITHIN_MS);
}
