/** A transcript to take away: plain text, and WebVTT for players. Pure. */

import type { Segment } from '../../session/transcript/transcript';

/** A line for each segment: time, speaker, words. Times count from the first words. */
export function asText(segments: readonly Segment[]): string {
  const zeroMs = beginningOf(segments);
  return segments
    .filter(({ note }) => !note)
    .map(({ startMs, label, text }) => {
      return `[${minutes(startMs - zeroMs)}] ${inOneLine(label)}: ${inOneLine(text)}\n`;
    })
    .join('');
}

/** WebVTT with a voice span for each cue. */
export function asVtt(segments: readonly Segment[]): string {
  const zeroMs = beginningOf(segments);
  const cues = segments
    .filter(({ note }) => !note)
    .map(({ startMs, endMs, label, text }) => {
      const from = timestamp(startMs - zeroMs);
      const to = timestamp(Math.max(endMs, startMs + LEAST_MS) - zeroMs);
      return `${from} --> ${to}\n<v ${escaped(label)}>${escaped(text)}</v>\n`;
    });
  return `WEBVTT\n\n${cues.join('\n')}`;
}

const LEAST_MS = 800; // a cue of no length is not shown

function beginningOf(segments: readonly Segment[]): number {
  return segments.reduce((least, { startMs }) => Math.min(least, startMs), Infinity);
}

function minutes(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function timestamp(ms: number): string {
  return new Date(Math.max(0, Math.round(ms))).toISOString().slice(11, 23);
}

/** A line end in a person's words would end a cue, or begin another speaker's line. */
function inOneLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}

function escaped(text: string): string {
  return inOneLine(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
