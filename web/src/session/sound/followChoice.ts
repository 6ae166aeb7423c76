/** Lets a call that runs follow another choice of microphone and loudspeaker. */

import type { Room } from 'livekit-client';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';
import type { Microphone } from './microphone';
import { captureOf, sound } from './sound';

const SYSTEM = 'default'; // LiveKit's name for the loudspeaker that the system chose

/** Follow it. Throws where a device gives nothing; what was chosen before stands again then. */
export async function followChoice(room: Room, microphone: Microphone): Promise<void> {
  const choice = sound.read();
  const speaker = room.getActiveDevice('audiooutput') ?? SYSTEM;
  const wanted = choice.speaker || SYSTEM;
  try {
    if (await microphone.follow(choice)) {
      const details = { ...captureOf(choice) };
      journal.add('info', 'page', t.panels.happenings.microphoneChanged, details);
    }
    if (speaker !== wanted) await room.switchActiveDevice('audiooutput', wanted);
    room.options.audioCaptureDefaults = captureOf(choice);
  } catch (error) {
    const heardBy = speaker === SYSTEM ? '' : speaker;
    sound.set({ ...(microphone.inUse ?? choice), speaker: heardBy });
    throw error;
  }
}
