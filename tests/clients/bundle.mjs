// node bundle.mjs <page> <script>: bundle a page with the packages that it imports.

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
