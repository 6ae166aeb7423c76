/** Before a recorded room is joined: what is stored, and whether one agrees. */

import type { Recording } from '../../session/state/entry';
import { t } from '../../strings/strings';
import { Dialog } from '../../ui/Dialog';
import './Recording.css';

interface Props {
  recording: Recording;
  onAnswer: (agreed: boolean) => void;
  onLeave: () => void;
}

export function RecordingQuestion({ recording, onAnswer, onLeave }: Props) {
  const asks = recording === 'ask';
  return (
    <Dialog title={t.recording.title} onClose={onLeave}>
      <p>{t.recording[recording]}</p>
      <div className="answers">
        <button type="button" className="go" onClick={() => onAnswer(asks)}>
          {asks ? t.recording.agree : t.recording.join}
        </button>
        {asks && (
          <button type="button" className="plain" onClick={() => onAnswer(false)}>
            {t.recording.decline}
          </button>
        )}
      </div>
    </Dialog>
  );
}
