/** The microphones and loudspeakers that this browser tells of, without asking the person for any. */

import { useCallback, useEffect, useState } from 'react';

/**
 * The devices, and a function that looks anew: a browser names them once it was allowed to listen.
 *
 * LiveKit's own hook opens the microphone to learn the names, so its browser asks as soon as the
 * page is there.
 */
export function useDevices(): [readonly MediaDeviceInfo[], () => void] {
  const [devices, setDevices] = useState<readonly MediaDeviceInfo[]>([]);
  const look = useCallback(() => {
    navigator.mediaDevices?.enumerateDevices().then(setDevices, () => undefined); // none without https
  }, []);
  useEffect(() => {
    look();
    navigator.mediaDevices?.addEventListener('devicechange', look);
    return () => navigator.mediaDevices?.removeEventListener('devicechange', look);
  }, [look]);
  return [devices, look];
}
