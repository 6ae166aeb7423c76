import '@fontsource-variable/figtree/index.css';
import './ui/theme/theme.css';
import './ui/theme/arriving.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { overhear } from './session/connection/livekitLog';
import { journal } from './store/eventLog';
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
