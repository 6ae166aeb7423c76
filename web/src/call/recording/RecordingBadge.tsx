/** Says that the room is recorded, as its host tells every client. */

import { useLocalParticipant, useRemoteParticipants } from '@livekit/components-react';
import { RoomEvent } from 'livekit-client';
import { ATTR_RECORD_CONSENT, ATTR_RECORDING } from '../../service/wire';
import { t } from '../../strings/strings';
import './Recording.css';

const CHANGES = [
  RoomEvent.ConnectionStateChanged,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
];

export function RecordingBadge({ told }: { told: boolean }) {
  const others = useRemoteParticipants({ updateOnlyOn: CHANGES });
  const { localParticipant } = useLocalParticipant();
  const on = others.some((one) => one.isAgent && one.attributes[ATTR_RECORDING] === 'true');
  const recorded = told || localParticipant.attributes[ATTR_RECORD_CONSENT] === 'true';
  return (
    <p className="recording" role="status">
      {on && (recorded ? t.recording.on : t.recording.withoutYou)}
    </p>
  );
}
