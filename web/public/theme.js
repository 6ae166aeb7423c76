// Before the first picture, so that a chosen theme does not flash. The rest is in src/ui/theme/theme.ts.
try {
  const { theme } = JSON.parse(localStorage.getItem('moshi-rooms.theme') ?? '{}');
  document.documentElement.dataset.theme = theme ?? 'system';
} catch {
  document.documentElement.dataset.theme = 'system';
}
