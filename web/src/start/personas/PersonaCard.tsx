/** One persona to choose: a checkbox that looks like a card. */

import type { Face } from '../../figure/figureStyle';
import { Check } from '../../ui/theme/icons';
import './PersonaCard.css';
import { VoiceFigure } from '../../figure/VoiceFigure';
import { ListenButton } from '../voices/ListenButton';

interface Props {
  name: string;
  label: string;
  line: string;
  /** Its voice in words; empty where the model has no choice. */
  voice: string;
  /** The address of its voice’s recording, where there is one. */
  sample: string | undefined;
  face: Face;
  picked: boolean;
  disabled: boolean;
  onPick: (picked: boolean) => void;
}

export function PersonaCard(props: Props) {
  const { name, label, line, voice, sample, face, picked, disabled, onPick } = props;
  return (
    <div className="card" data-persona={name}>
      <label>
        <input
          type="checkbox"
          aria-label={label}
          aria-describedby={`line-${name}`}
          checked={picked}
          disabled={disabled}
          onChange={(event) => onPick(event.target.checked)}
        />
        <span className="portrait">
          <VoiceFigure face={face} still />
        </span>
        <span className="words" id={`line-${name}`}>
          <span className="label">{label}</span>
          <span className="line">{line}</span>
          {voice && <span className="voice">{voice}</span>}
        </span>
        <span className="tick">
          <Check />
        </span>
      </label>
      {sample && <ListenButton label={label} url={sample} />}
    </div>
  );
}
