/** In a call, and after it as long as its words are worth a look. */

import { RoomAudioRenderer, RoomContext } from '@livekit/components-react';
import { useRef } from 'react';
import { t } from '../strings/strings';
import './CallScreen.css';
import { SidePanel } from '../panels/SidePanel';
import { languageOf } from '../service/service';
import { isOver } from '../session/state/phase';
import { Notice } from '../ui/Notice';
import { Controls } from './controls/Controls';
import { type CallProps, Ending } from './ending/Ending';
import { RecordingBadge } from './recording/RecordingBadge';
import { RecordingQuestion } from './recording/RecordingQuestion';
import { Announcements } from './stage/Announcements';
import { OwnCaption } from './stage/Caption';
import { Stage } from './stage/Stage';
import { useDrawer } from './useDrawer';

export function CallScreen({ call, state, known, onAgain, onBack }: CallProps) {
  const over = isOver(state.phase);
  const catalogue = known.config?.personas ?? [];
  const written = known.config?.people_words.written ?? false;
  const language = languageOf(known.config);
  const [wanted, setDrawer] = useDrawer();
  const toggle = useRef<HTMLButtonElement>(null);
  const drawer = over || wanted;
  const close = () => {
    setDrawer(false);
    toggle.current?.focus();
  };
  return (
    <RoomContext.Provider value={call.room}>
      <main className="call" data-over={over} data-drawer={drawer}>
        <h1 tabIndex={-1} className="unseen">
          {t.call.title}
        </h1>
        <Stage call={call} state={state} catalogue={catalogue} />
        <section tabIndex={-1} className="foot" aria-label={t.call.controls}>
          {!over && <RecordingBadge told={state.recording === 'told'} />}
          {over ? (
            <Ending call={call} state={state} known={known} onAgain={onAgain} onBack={onBack} />
          ) : (
            <>
              {state.trouble && <Notice trouble={state.trouble} />}
              {state.soundTrouble && <Notice trouble={state.soundTrouble} />}
              {written && <OwnCaption call={call} />}
              <Controls
                call={call}
                state={state}
                config={known.config}
                drawer={{ open: drawer, set: setDrawer, toggle }}
              />
            </>
          )}
        </section>
        {drawer && (
          <SidePanel
            call={call}
            catalogue={catalogue}
            written={written}
            language={language}
            over={over}
            onClose={close}
          />
        )}
      </main>
      {state.recording && state.asksToRecord && (
        <RecordingQuestion
          recording={state.recording}
          onAnswer={call.answerRecording}
          onLeave={() => call.hangUp()}
        />
      )}
      {!over && <Announcements call={call} language={language} />}
      {!over && <RoomAudioRenderer />}
    </RoomContext.Provider>
  );
}
