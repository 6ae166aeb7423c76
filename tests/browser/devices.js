// Runs before the page's own script. A second microphone, `headset`, that another program uses;
// `takeMicrophones()` is how all are unplugged, `giveMicrophones()` how they come back, and
// `silence()` lets each one that is opened from then on give no sound.

const { mediaDevices } = navigator;
const ask = mediaDevices.getUserMedia.bind(mediaDevices);
const list = mediaDevices.enumerateDevices.bind(mediaDevices);
let plugged = true;
let silent = false;
let opened;

mediaDevices.enumerateDevices = async () => [
  ...(await list()),
  { deviceId: 'headset', kind: 'audioinput', label: 'Headset', groupId: '' },
];

mediaDevices.getUserMedia = async (asked) => {
  if (!plugged) throw new DOMException('', 'NotFoundError');
  if (asked.audio.deviceId === 'headset') throw new DOMException('', 'NotReadableError');
  const stream = silent
    ? new AudioContext().createMediaStreamDestination().stream
    : await ask(asked);
  [opened] = stream.getAudioTracks();
  return stream;
};

window.takeMicrophones = () => {
  plugged = false;
  opened.stop();
  opened.dispatchEvent(new Event('ended'));
};
window.giveMicrophones = () => {
  plugged = true;
};
window.silence = () => {
  silent = true;
};
