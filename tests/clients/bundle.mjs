// node bundle.mjs <page> <script>: a page with the packages that it imports, as they are.

import { build } from 'esbuild';

const [page, outfile] = process.argv.slice(2);

await build({
  entryPoints: [page],
  outfile,
  bundle: true,
  format: 'esm',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'error',
});
