/** One persona to choose: a checkbox that looks like a card. */

import type { Face } from '../call/figureStyle';
import { Check } from '../ui/icons';
import './PersonaCard.css';
import { VoiceFigure } from '../call/VoiceFigure';

interface Props {
  name: string;
  label: string;
  line: string;
  /** Its voice in words; empty where the model has no choice. */
  voice: string;
  face: Face;
  picked: boolean;
  disabled: boolean;
  onPick: (picked: boolean) => void;
}

export function PersonaCard({ name, label, line, voice, face, picked, disabled, onPick }: Props) {
  return (
    <label className="card" data-persona={name}>
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
  );
}
