/** A named place for one control, with a line about it. */

import type { ReactNode } from 'react';
import './Field.css';

interface Props {
  label: string;
  /** What stands at the other end of the name: a value, a counter. */
  value?: string;
  children: ReactNode;
}

export function Field({ label, value, children }: Props) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className="field">
      <span className="name">
        {label}
        {value !== undefined && <span className="value">{value}</span>}
      </span>
      {children}
    </label>
  );
}
