/** Something that few need: a line that opens. The browser does the opening. */

import type { ReactNode } from 'react';
import './Disclosure.css';
import { Chevron } from './theme/icons';

interface Props {
  title: string;
  /** What it holds now, in a few words. */
  hint?: string;
  children: ReactNode;
}

export function Disclosure({ title, hint, children }: Props) {
  return (
    <details className="fold">
      <summary>
        <span className="title">{title}</span>
        {hint && (
          <span className="hint" title={hint}>
            {hint}
          </span>
        )}
        <Chevron />
      </summary>
      <div className="inside">{children}</div>
    </details>
  );
}
