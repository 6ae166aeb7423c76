/** The words to keep: copied, or as a file. */

import { t } from '../strings/strings';
import { asText, asVtt } from './captions';
import './SaveTranscript.css';
import type { Segment } from '../session/transcript';
import { useCopy } from '../ui/useCopy';

export function TakeAway({ segments }: { segments: readonly Segment[] }) {
  const [copied, copy] = useCopy();
  return (
    <div className="take-away">
      <button type="button" className="link" onClick={() => copy(asText(segments))}>
        {copied ? t.transcript.copied : t.transcript.copy}
      </button>
      <button type="button" className="link" onClick={() => download('txt', asText(segments))}>
        {t.transcript.text}
      </button>
      <button type="button" className="link" onClick={() => download('vtt', asVtt(segments))}>
        WebVTT
      </button>
    </div>
  );
}

function download(ending: 'txt' | 'vtt', text: string): void {
  const type = ending === 'vtt' ? 'text/vtt' : 'text/plain';
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `conversation.${ending}`;
  link.click();
  URL.revokeObjectURL(url);
}
