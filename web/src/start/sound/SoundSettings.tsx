/** Which microphone and loudspeaker, what is filtered, and a try whether it works. */

import { type SoundChoice, sound } from '../../session/sound/sound';
import type { Trouble } from '../../session/state/trouble';
import { preferences } from '../../store/preferences';
import { useRemembered } from '../../store/stored';
import { t } from '../../strings/strings';
import { Field } from '../../ui/Field';
import { useKeyboard } from '../../ui/hooks/useKeyboard';
import { Notice } from '../../ui/Notice';
import { Switch } from '../../ui/Switch';
import { EchoTest } from './EchoTest';
import './SoundSettings.css';
import { useDevices } from './useDevices';

interface Props {
  /** In a call the sound itself is the test. */
  inCall?: boolean;
  /** Why the latest choice could not be followed. */
  trouble?: Trouble | null;
}

export function SoundSettings({ inCall = false, trouble = null }: Props) {
  const choice = useRemembered(sound);
  const [devices, look] = useDevices();
  const canChooseSpeaker = 'setSinkId' in HTMLMediaElement.prototype;
  return (
    <div className="sound-settings">
      <div className="fields">
        <DeviceSelect
          label={t.sound.microphone}
          kind="microphone"
          devices={devices.filter(({ kind }) => kind === 'audioinput')}
          choice={choice}
        />
        {canChooseSpeaker ? (
          <DeviceSelect
            label={t.sound.speaker}
            kind="speaker"
            devices={devices.filter(({ kind }) => kind === 'audiooutput')}
            choice={choice}
          />
        ) : (
          <p className="soft">{t.sound.cannotChoose}</p>
        )}
      </div>
      {trouble && <Notice trouble={trouble} />}
      <div className="switches">
        <Switch
          label={t.sound.echo}
          on={choice.echoCancellation}
          onSwitch={(echoCancellation) => sound.set({ echoCancellation })}
        />
        <Switch
          label={t.sound.noise}
          on={choice.noiseSuppression}
          onSwitch={(noiseSuppression) => sound.set({ noiseSuppression })}
        />
      </div>
      {inCall ? <CallSwitches /> : <EchoTest choice={choice} onAllowed={look} />}
      <p className="soft">{t.sound.advice}</p>
    </div>
  );
}

/** What is of use in a call alone. */
function CallSwitches() {
  const { shortcuts, details } = useRemembered(preferences);
  const keyboard = useKeyboard();
  return (
    <div className="switches">
      {keyboard && (
        <Switch
          label={t.sound.shortcuts}
          on={shortcuts}
          onSwitch={(shortcuts) => preferences.set({ shortcuts })}
        />
      )}
      <Switch
        label={t.sound.details}
        on={details}
        onSwitch={(details) => preferences.set({ details })}
      />
    </div>
  );
}

interface SelectProps {
  label: string;
  kind: 'microphone' | 'speaker';
  devices: readonly MediaDeviceInfo[];
  choice: SoundChoice;
}

/** A browser names its devices once it was allowed to listen. */
function DeviceSelect({ label, kind, devices, choice }: SelectProps) {
  const named = devices.filter(({ deviceId }) => deviceId && deviceId !== 'default');
  const unnamed = named.length === 0 && choice[kind] !== '';
  const offered = unnamed || named.some(({ deviceId }) => deviceId === choice[kind]);
  return (
    <Field label={label}>
      <select
        value={offered ? choice[kind] : ''}
        onChange={(event) => sound.set({ [kind]: event.target.value })}
      >
        <option value="">{t.sound.system}</option>
        {unnamed && <option value={choice[kind]}>{t.sound.chosenBefore}</option>}
        {named.map((device, place) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${place + 1}`}
          </option>
        ))}
      </select>
    </Field>
  );
}
