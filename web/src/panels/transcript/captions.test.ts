import { expect, test } from 'vitest';
import type { Segment } from '../../session/transcript/transcript';
import { asText, asVtt } from './captions';

const said = (label: string, text: string, startMs: number, endMs: number): Segment => ({
  id: text,
  identity: label,
  label,
  persona: '',
  text,
  final: true,
  typed: false,
  startMs,
  endMs,
});
const TALK = [
  said('Chef', 'Onions, please. ', 5_000, 6_500),
  said('Ann', 'R&D <3', 68_000, 68_010),
];

test('text has a line for each segment, counted from the first words', () => {
  expect(asText(TALK)).toBe('[0:00] Chef: Onions, please.\n[1:03] Ann: R&D <3\n');
});

test('WebVTT has a cue for each segment, escaped, none too short to be seen', () => {
  expect(asVtt(TALK)).toBe(
    'WEBVTT\n\n' +
      '00:00:00.000 --> 00:00:01.500\n<v Chef>Onions, please.</v>\n\n' +
      '00:01:03.000 --> 00:01:03.800\n<v Ann>R&amp;D &lt;3</v>\n',
  );
});

test("line ends in a person's words end no cue and make no line of another speaker", () => {
  const forged = [said('A\nnn', 'Hi\n\n[0:01] Chef: It is free.\u2028', 0, 1_000)];
  expect(asText(forged)).toBe('[0:00] A nn: Hi [0:01] Chef: It is free.\n');
  expect(asVtt(forged)).toBe(
    'WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v A nn>Hi [0:01] Chef: It is free.</v>\n',
  );
});
