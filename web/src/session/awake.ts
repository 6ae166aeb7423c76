/** Keeps a phone's screen on: behind a dark one the browser soon takes the microphone away. */

/** Keep the screen on until the returned function is called. Some browsers cannot, or not on a low battery. */
export function stayAwake(): () => void {
  let lock: WakeLockSentinel | undefined;
  let over = false;
  const hold = async () => {
    if (over || document.visibilityState !== 'visible') return;
    lock = await navigator.wakeLock?.request('screen').catch(() => undefined);
    if (over) await lock?.release();
  };
  document.addEventListener('visibilitychange', hold); // a hidden page loses it
  hold();
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', hold);
    lock?.release();
  };
}
