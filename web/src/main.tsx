import '@fontsource-variable/figtree/index.css';
import './ui/theme/theme.css';
import './ui/theme/arriving.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { speak } from './strings/strings';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
await speak(navigator.languages);
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
