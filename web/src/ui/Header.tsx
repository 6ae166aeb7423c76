/** The bar at the top: whose page this is, which model speaks, how the call stands. */

import { Badge } from './Badge';
import './Header.css';
import type { Model } from '../service/service';
import type { CallState } from '../session/phase';
import { Logo } from './icons';
import { ThemeButton } from './ThemeButton';

interface Props {
  call: CallState | null;
  model: Model | null;
}

export function Header({ call, model }: Props) {
  return (
    <header className="header">
      <Logo />
      <span className="wordmark">Moshi rooms</span>
      {model && (
        <span className="model" title={`The model that speaks: ${model.name}. ${model.note}`}>
          {model.name.split('/').at(-1)}
          {model.note && <span className="kind"> · demonstration</span>}
        </span>
      )}
      <span className="fill" />
      <Badge call={call} />
      <ThemeButton />
    </header>
  );
}
