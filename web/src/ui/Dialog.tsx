/** A sheet above the page, for something that is over soon. The browser keeps the focus in it. */

import { type ReactNode, useLayoutEffect, useRef } from 'react';
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
  // The browser gives the focus back only where a sheet is closed before it is taken away.
  useLayoutEffect(() => {
    const sheet = dialog.current;
    sheet?.showModal();
    return () => sheet?.close();
  }, []);
  const close = () => dialog.current?.close();
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      className="dialog"
      aria-label={title}
      onClose={() => dialog.current?.open || onClose()} // not where React tries the effect twice
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div tabIndex={-1} className="sheet">
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
