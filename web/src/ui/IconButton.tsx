/** A button that shows a picture: its name is its hint, and what a screen reader says. */

import type { ComponentProps } from 'react';

type Props = Omit<ComponentProps<'button'>, 'title' | 'aria-label'> & { label: string };

export function IconButton({ label, className = 'round', type = 'button', ...others }: Props) {
  return <button type={type} className={className} aria-label={label} title={label} {...others} />;
}
