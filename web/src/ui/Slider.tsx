/** A number between two ends. */

import type { CSSProperties } from 'react';

interface Props {
  /** Left out inside a field, which has a name. */
  label?: string;
  least: number;
  most: number;
  step: number;
  value: number;
  onSlide: (value: number) => void;
}

export function Slider({ label, least, most, step, value, onSlide }: Props) {
  const filled = `${((value - least) / (most - least)) * 100}%`;
  return (
    <input
      type="range"
      aria-label={label}
      min={least}
      max={most}
      step={step}
      value={value}
      style={{ '--filled': filled } as CSSProperties}
      onChange={(event) => onSlide(event.target.valueAsNumber)}
    />
  );
}
