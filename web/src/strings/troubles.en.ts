/** What went wrong and what to do about it, in English. */

export const troubles = {
  again: 'Try again.',
  failed: { title: 'The call did not start' },
  full: { title: 'All places are taken', todo: 'Wait in line, and you’ll join automatically.' },
  slow: { title: 'The model is busy' },
  tooMany: { title: 'Too many voices', todo: 'Choose fewer voices.' },
  link: {
    title: 'This link no longer works',
    todo: 'Ask the person who invited you for a new link.',
  },
  unknown: { title: 'This server does not know you' },
  ownMachine: 'Open the page on the machine itself, or ask for an invitation link.',
  noKey: 'You need a key or an invitation: ask the operator of this server for a link.',
  input: {
    title: 'One of your choices cannot be used',
    todo: 'Change it under “Voice and model settings” or in your own character.',
  },
  tooFast: { title: 'Too many tries', todo: 'Wait a minute, then try again.' },
  notReady: {
    title: 'No voice can answer yet',
    todo: 'Wait a moment; this page checks every two seconds.',
  },
  refused: {
    title: 'The server refused',
    todo: 'Reload the page. If that does not help, tell the operator of this server.',
  },
  blocked: {
    title: 'Your browser or system blocked the microphone',
    why: 'This page is not allowed to listen.',
    todo: 'Allow the microphone with the icon beside the address, then try again.',
  },
  noMicrophone: {
    title: 'No microphone found',
    why: 'The browser sees no device that could hear you.',
    todo: 'Plug one in or switch it on in the system’s sound settings, then try again.',
  },
  busyMicrophone: {
    title: 'The microphone is in use',
    why: 'Another program uses it, or it failed to start.',
    todo: 'Close the other program or reconnect the microphone, then try again.',
  },
  microphone: { title: 'The microphone failed' },
  twice: {
    title: 'You joined from elsewhere',
    why: 'You came into this room a second time, in another tab or on another device.',
  },
  removed: {
    title: 'You are no longer in the room',
    why: 'The call was ended for you, by its host or by the operator of this server.',
  },
  closed: { title: 'The room was closed', why: 'The server ended this call.' },
  shutdown: { title: 'The server is shutting down', why: 'It is being stopped or restarted.' },
  lost: {
    title: 'The connection was lost',
    why: 'The server did not answer for a while.',
    todo: 'Check your network, then try again.',
  },
  ticket: { title: 'You were not let in', why: 'The room did not accept this page’s ticket.' },
  roomFull: {
    title: 'The room is full',
    todo: 'Try again when one of them has left.',
  },
  noPath: {
    title: 'Sound cannot get through',
    why: 'The room was reached, but the network lets no voice (UDP) pass.',
    todo: 'Try another network, or turn off the VPN or firewall that blocks it.',
  },
  noLoopback: {
    title: 'Sound cannot get through',
    why: 'The room was reached on this machine, but no voice: Firefox and some others send none to 127.0.0.1.',
    todo: 'Use Chrome or Edge, or start the server with NODE_IP=<this machine’s address in its network>.',
  },
  insecureRoom: {
    title: 'The room is not secure',
    why: (url: string) => `This page came by https, and browsers then refuse ${url}.`,
    todo: 'The operator of this server has to give the room a wss:// address.',
  },
  noRoom: {
    title: 'The room cannot be reached',
    why: (url: string) => `The page is here, but ${url} does not answer.`,
    todo: 'Check your network. If that is fine, tell the operator of this server.',
  },
  unreachable: {
    title: 'The server does not answer',
    why: 'It is not running, or the network does not reach it.',
    todo: 'Check your network, wait a moment, then try again.',
  },
  incomplete: {
    title: 'A part of this page is missing',
    why: 'It could not be fetched: the page was updated meanwhile, or the network is away.',
    todo: 'Check your network, then reload the page.',
  },
  insecurePage: {
    title: 'This page is not secure',
    why: 'Browsers give a microphone only to https pages and to localhost.',
    todo: 'Open this page with https:// in front, or on the machine itself as http://localhost.',
  },
  noWebRtc: {
    title: 'This browser cannot make calls',
    why: 'It has no WebRTC, or that is switched off, as in an iPhone’s Lockdown Mode.',
    todo: 'Allow WebRTC in this browser, or open this page in another one.',
  },
};

export type Troubles = typeof troubles;
