// Runs before the page's own script: it draws ten pictures a second, where a screen shows sixty. Each
// costs time in three of Chromium's processes.

const PICTURE_MS = 100;
window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), PICTURE_MS);
window.cancelAnimationFrame = clearTimeout;
