// Runs before the page's own script and counts what the page opens. `left()` returns how much of
// each kind is still open.

const opened = { connections: [], sockets: [], streams: [], tracks: [] };

function counted(name, list) {
  window[name] = class extends window[name] {
    constructor(...given) {
      super(...given);
      opened[list].push(this);
    }
  };
}

counted('RTCPeerConnection', 'connections');
counted('WebSocket', 'sockets');
counted('EventSource', 'streams');

const ask = MediaDevices.prototype.getUserMedia;
MediaDevices.prototype.getUserMedia = async function (...constraints) {
  const stream = await ask.apply(this, constraints);
  opened.tracks.push(...stream.getTracks());
  return stream;
};

const OPEN = {
  connections: (each) => each.connectionState !== 'closed',
  sockets: (each) => each.readyState <= WebSocket.OPEN,
  streams: (each) => each.readyState <= EventSource.OPEN,
  tracks: (each) => each.readyState === 'live',
};

window.left = () => ({
  ...Object.fromEntries(
    Object.entries(opened).map(([kind, all]) => [kind, all.filter(OPEN[kind]).length]),
  ),
  players: document.querySelectorAll('audio').length,
});
