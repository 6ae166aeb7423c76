/** A sheet above the page, for something that is over soon. The browser keeps the focus in it. */

import { type ReactNode, useEffect, useRef } from 'react';
import { t } from '../strings/strings';
import './Dialog.css';
import { IconButton } from './IconButton';
import { Cross } from './theme/icons';

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const sheet = dialog.current;
    if (!sheet?.open) sheet?.showModal();
  }, []);
  const close = () => dialog.current?.close(); // the focus goes back only from a sheet still there
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      className="dialog"
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div className="sheet">
        <div className="top">
          <h2>{title}</h2>
          <IconButton label={t.call.close} onClick={close}>
            <Cross />
          </IconButton>
        </div>
        {children}
      </div>
    </dialog>
  );
}
