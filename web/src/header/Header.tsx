/** The bar at the top: whose page this is, which model speaks, how the call stands. */

import { t } from '../strings/strings';
import { Badge } from './Badge';
import './Header.css';
import type { Model } from '../service/service';
import type { CallState } from '../session/state/phase';
import { Logo } from '../ui/theme/icons';
import { ThemeButton } from './ThemeButton';

interface Props {
  call: CallState | null;
  model: Model | null;
  /** The operator’s own; empty: the page’s. */
  logo: string;
}

export function Header({ call, model, logo }: Props) {
  return (
    <header className="header">
      {logo ? <img className="logo" src={logo} alt="" /> : <Logo />}
      <span className="wordmark" title={document.title}>
        {document.title}
      </span>
      {model && (
        <span className="model" title={t.header.model(model.name, model.note)}>
          {model.name.split('/').at(-1)}
          {model.note && <span className="kind"> · {t.header.demonstration}</span>}
        </span>
      )}
      <span className="fill" />
      <Badge call={call} />
      <ThemeButton />
    </header>
  );
}
