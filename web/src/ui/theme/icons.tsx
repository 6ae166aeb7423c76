/** The page's few pictures, drawn in the colour of the text beside them. */

import type { Theme } from './theme';

const STROKE = {
  viewBox: '0 0 24 24',
  fill: 'none',
  stroke: 'currentColor',
  strokeWidth: 1.9,
  strokeLinecap: 'round',
  strokeLinejoin: 'round',
} as const;

export function Microphone({ off }: { off: boolean }) {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <rect x="9" y="3" width="6" height="11" rx="3" />
      <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
      {off && <path d="M4 4l16 16" />}
    </svg>
  );
}

export function Wave() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M4 10v4M8 7v10M12 4v16M16 8v8M20 10.5v3" />
    </svg>
  );
}

export function HangUp() {
  return (
    <svg aria-hidden className="icon" viewBox="0 0 24 24" fill="currentColor">
      <path d="M12 8c-3.6 0-6.9 1.2-9.5 3.3-1.2 1-1.5 2.6-.8 3.9l.7 1.3c.5.9 1.6 1.3 2.6.9l2.6-1.1c.8-.3 1.3-1.1 1.3-1.9v-1.6a11 11 0 0 1 6.2 0v1.6c0 .8.5 1.6 1.3 1.9l2.6 1.1c1 .4 2.1 0 2.6-.9l.7-1.3c.7-1.3.4-2.9-.8-3.9C18.9 9.2 15.6 8 12 8z" />
    </svg>
  );
}

export function Check() {
  return (
    <svg aria-hidden className="icon" {...STROKE} strokeWidth={2.6}>
      <path d="M5.5 12.5l4.5 4.5 8.5-10" />
    </svg>
  );
}

export function Words() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M4 5.5h16v11h-8.5L7 20v-3.5H4zM8 9.5h8M8 12.7h5" />
    </svg>
  );
}

export function Play() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M8 5.5v13l10.5-6.5z" />
    </svg>
  );
}

export function Stop() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M7 7h10v10H7z" />
    </svg>
  );
}

export function Chevron() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M6 9.5l6 6 6-6" />
    </svg>
  );
}

export function Cross() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M6 6l12 12M18 6L6 18" />
    </svg>
  );
}

export function More() {
  return (
    <svg aria-hidden className="icon" {...STROKE} strokeWidth={3}>
      <path d="M5.5 12h.01M12 12h.01M18.5 12h.01" />
    </svg>
  );
}

export function Add() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <circle cx="9.5" cy="8" r="3.6" />
      <path d="M3 19.5c.6-3.6 3.2-5.4 6.5-5.4 1.7 0 3.2.5 4.4 1.4M18 13.5v6M15 16.5h6" />
    </svg>
  );
}

export function Send() {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M12 19V5.5M6 11l6-6 6 6" />
    </svg>
  );
}

export function Loudspeaker({ off }: { off: boolean }) {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      <path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z" />
      <path
        d={
          off ? 'M16 9.5l5 5M21 9.5l-5 5' : 'M15.5 9.2a4 4 0 0 1 0 5.6M18 6.7a7.5 7.5 0 0 1 0 10.6'
        }
      />
    </svg>
  );
}

const THEME_PATHS: Record<Theme, string> = {
  system: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
  light:
    'M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z',
  dark: 'M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z',
};

export function ThemeIcon({ theme }: { theme: Theme }) {
  return (
    <svg aria-hidden className="icon" {...STROKE}>
      {theme === 'system' && <path d="M12 4a8 8 0 0 0 0 16z" fill="currentColor" />}
      <path d={THEME_PATHS[theme] ?? THEME_PATHS.system} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" fill="none" strokeWidth="3.2" aria-hidden>
      <circle cx="12" cy="16" r="8.5" stroke="var(--go)" />
      <circle cx="20" cy="16" r="8.5" stroke="var(--answer)" />
    </svg>
  );
}
