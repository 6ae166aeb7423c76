/** Which microphone and loudspeaker, what is filtered, and a try whether it works. */

import { useMediaDevices } from '@livekit/components-react';
import { useRemembered } from '../service/stored';
import { type SoundWish, sound } from '../session/sound';
import { Field } from '../ui/Field';
import { Switch } from '../ui/Switch';
import { EchoTest } from './EchoTest';
import './SoundSettings.css';

const CANNOT_CHOOSE = 'This browser plays where the system says.';

interface Props {
  /** In a call the sound itself is the test. */
  inCall?: boolean;
}

export function SoundSettings({ inCall = false }: Props) {
  const wish = useRemembered(sound);
  const microphones = useMediaDevices({ kind: 'audioinput' });
  const speakers = useMediaDevices({ kind: 'audiooutput' });
  const canChooseSpeaker = 'setSinkId' in HTMLMediaElement.prototype;
  return (
    <div className="sound-settings">
      <div className="fields">
        <DeviceSelect label="Microphone" kind="microphone" devices={microphones} wish={wish} />
        {canChooseSpeaker ? (
          <DeviceSelect label="Loudspeaker" kind="speaker" devices={speakers} wish={wish} />
        ) : (
          <p className="soft">{CANNOT_CHOOSE}</p>
        )}
      </div>
      <div className="switches">
        <Switch
          label="Cancel echo"
          on={wish.echoCancellation}
          onSwitch={(echoCancellation) => sound.set({ echoCancellation })}
        />
        <Switch
          label="Suppress noise"
          on={wish.noiseSuppression}
          onSwitch={(noiseSuppression) => sound.set({ noiseSuppression })}
        />
      </div>
      {inCall || <EchoTest wish={wish} />}
      <p className="soft">
        With loudspeakers keep echo cancelling on, or the voices hear themselves. Headphones are
        best.
      </p>
    </div>
  );
}

interface SelectProps {
  label: string;
  kind: 'microphone' | 'speaker';
  devices: readonly MediaDeviceInfo[];
  wish: SoundWish;
}

/** A browser names its devices once it was allowed to listen. */
function DeviceSelect({ label, kind, devices, wish }: SelectProps) {
  const named = devices.filter(({ deviceId }) => deviceId && deviceId !== 'default');
  const chosen = named.some(({ deviceId }) => deviceId === wish[kind]) ? wish[kind] : '';
  return (
    <Field label={label}>
      <select value={chosen} onChange={(event) => sound.set({ [kind]: event.target.value })}>
        <option value="">As the system says</option>
        {named.map((device, place) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${place + 1}`}
          </option>
        ))}
      </select>
    </Field>
  );
}
