import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const TOKEN_SERVICE = 'http://127.0.0.1:8080';
const ASKED = ['/api', '/personas', '/sessions', '/status', '/token']; // all that the page asks it

export default defineConfig({
  plugins: [react()],
  base: './', // the page may lie under a path, which it does not know
  build: {
    target: 'es2022',
    // A page that asks no other host for anything needs no preload polyfill.
    modulePreload: { polyfill: false },
    // LiveKit's client is one library of this size; the budget is for what is sent, compressed.
    chunkSizeWarningLimit: 1000,
  },
  server: { proxy: Object.fromEntries(ASKED.map((path) => [path, TOKEN_SERVICE])) },
});
