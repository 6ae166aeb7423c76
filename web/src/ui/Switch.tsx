/** Something that is on or off. */

import './Switch.css';

interface Props {
  label: string;
  on: boolean;
  onSwitch: (on: boolean) => void;
}

export function Switch({ label, on, onSwitch }: Props) {
  return (
    <label className="switch">
      <input
        type="checkbox"
        role="switch"
        aria-checked={on}
        checked={on}
        onChange={(event) => onSwitch(event.target.checked)}
      />
      <span className="track" />
      {label}
    </label>
  );
}
