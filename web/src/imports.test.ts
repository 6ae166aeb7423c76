/** Which folder imports which. */

import { expect, test } from 'vitest';

/** From the top down: a folder imports what stands in a row below its own. */
const ROWS = [['.'], ['header', 'call'], ['start', 'panels'], ['figure', 'ui'], ['session']];
const BELOW = ['service', 'store', 'strings'];

const FILES = import.meta.glob<string>('./**/*.{ts,tsx}', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const folderOf = (path: string) => path.split('/').slice(1, -1).join('/') || '.';
const topOf = (folder: string) => folder.split('/')[0] ?? '';
const rowOf = (folder: string) =>
  BELOW.includes(topOf(folder))
    ? ROWS.length
    : ROWS.findIndex((row) => row.includes(topOf(folder)));

const IMPORTS = Object.entries(FILES).flatMap(([path, text]) =>
  [...text.matchAll(/(?:from |import |import\()'(\.[^']*)'/g)].map(([, named = '']) => {
    const target = new URL(named, `file:///src/${path.slice(2)}`).pathname.replace('/src', '.');
    return { from: folderOf(path), to: folderOf(target), text: `${path} imports ${target}` };
  }),
);

test('imports go down the rows of folders, and into subfolders', () => {
  const wrong = IMPORTS.filter(({ from, to }) => {
    if (topOf(from) !== topOf(to)) return rowOf(from) < 0 || rowOf(to) <= rowOf(from);
    return from.startsWith(`${to}/`);
  });

  expect(IMPORTS.length).toBeGreaterThan(300);
  expect(wrong.map(({ text }) => text)).toEqual([]);
});

test('of two folders at most one imports the other', () => {
  const pairs = new Set(IMPORTS.map(({ from, to }) => `${from} ${to}`));
  const both = IMPORTS.filter(({ from, to }) => from !== to && pairs.has(`${to} ${from}`));

  expect(both.map(({ text }) => text)).toEqual([]);
});
