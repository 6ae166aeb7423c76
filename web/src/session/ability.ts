/** Whether this page, in this browser, can hear a person and call. */

import { InsecurePage, NoWebRtc } from './state/trouble';

/** Throws `InsecurePage` or `NoWebRtc` where no microphone can be asked for. */
export function checkMicrophone(): void {
  if (!window.isSecureContext) throw new InsecurePage();
  if (!navigator.mediaDevices) throw new NoWebRtc();
}

/** Throws as `checkMicrophone` does, also where no call can be made. */
export function checkCall(): void {
  checkMicrophone();
  if (!('RTCPeerConnection' in window)) throw new NoWebRtc();
}
