import '@fontsource-variable/figtree/index.css';
import './ui/theme.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { journal } from './service/eventLog';
import { overhear } from './session/livekitLog';
import { speak } from './strings/strings';

overhear(journal);
const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
await speak(navigator.languages);
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
