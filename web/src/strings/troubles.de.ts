/** What went wrong and what to do about it, in German. */

import type { Troubles } from './troubles.en';

export const troubles: Troubles = {
  again: 'Versuche es noch einmal.',
  failed: { title: 'Das Gespräch hat nicht begonnen' },
  full: { title: 'Alle Plätze sind belegt', todo: 'Stell dich an, du kommst von selbst hinein.' },
  slow: { title: 'Das Modell ist ausgelastet' },
  tooMany: { title: 'Zu viele Stimmen', todo: 'Wähle weniger Stimmen.' },
  link: {
    title: 'Dieser Link gilt nicht mehr',
    todo: 'Bitte die Person, die dich eingeladen hat, um einen neuen.',
  },
  unknown: { title: 'Dieser Server kennt dich nicht' },
  ownMachine: 'Öffne die Seite auf dem Rechner selbst, oder bitte um einen Einladungslink.',
  noKey: 'Du brauchst einen Schlüssel oder eine Einladung: Bitte den Betreiber um einen Link.',
  input: {
    title: 'Eine deiner Angaben kann nicht verwendet werden',
    todo: 'Ändere sie unter „Stimme und Modell“ oder in deiner eigenen Figur.',
  },
  tooFast: { title: 'Zu viele Versuche', todo: 'Warte eine Minute und versuche es noch einmal.' },
  notReady: {
    title: 'Noch kann keine Stimme antworten',
    todo: 'Warte einen Moment; diese Seite schaut alle zwei Sekunden nach.',
  },
  refused: {
    title: 'Der Server hat abgelehnt',
    todo: 'Lade die Seite neu. Hilft das nicht, sag dem Betreiber dieses Servers Bescheid.',
  },
  blocked: {
    title: 'Dein Browser oder System hat das Mikrofon gesperrt',
    why: 'Diese Seite darf nicht zuhören.',
    todo: 'Erlaube das Mikrofon mit dem Symbol neben der Adresse und versuche es noch einmal.',
  },
  noMicrophone: {
    title: 'Kein Mikrofon gefunden',
    why: 'Der Browser sieht kein Gerät, das dich hören könnte.',
    todo: 'Schließ eines an oder schalte es in den Toneinstellungen des Systems ein und versuche es noch einmal.',
  },
  busyMicrophone: {
    title: 'Das Mikrofon wird schon benutzt',
    why: 'Ein anderes Programm benutzt es, oder es ist nicht angelaufen.',
    todo: 'Schließ das andere Programm oder steck das Mikrofon neu ein und versuche es noch einmal.',
  },
  microphone: { title: 'Das Mikrofon ist ausgefallen' },
  twice: {
    title: 'Du bist woanders beigetreten',
    why: 'Du bist ein zweites Mal in diesen Raum gekommen, in einem anderen Tab oder Gerät.',
  },
  removed: {
    title: 'Du bist nicht mehr im Raum',
    why: 'Das Gespräch wurde für dich beendet, vom Gastgeber oder vom Betreiber.',
  },
  closed: { title: 'Der Raum wurde geschlossen', why: 'Der Server hat es beendet.' },
  shutdown: { title: 'Der Server wird heruntergefahren', why: 'Er wird neu gestartet.' },
  lost: {
    title: 'Die Verbindung ist verloren',
    why: 'Der Server hat eine Weile nicht geantwortet.',
    todo: 'Prüfe dein Netz und versuche es noch einmal.',
  },
  ticket: {
    title: 'Du wurdest nicht eingelassen',
    why: 'Der Raum nahm die Karte der Seite nicht an.',
  },
  roomFull: {
    title: 'Der Raum ist voll',
    todo: 'Versuche es noch einmal, wenn jemand gegangen ist.',
  },
  noPath: {
    title: 'Der Ton kommt nicht durch',
    why: 'Der Raum ist erreicht, aber das Netz lässt keine Stimme (UDP) durch.',
    todo: 'Versuche ein anderes Netz, oder schalte das VPN oder die Firewall ab, die das sperrt.',
  },
  noLoopback: {
    title: 'Der Ton kommt nicht durch',
    why: 'Der Raum auf diesem Rechner ist erreicht, aber keine Stimme: Firefox und manche andere senden keine an 127.0.0.1.',
    todo: 'Nimm Chrome oder Edge, oder starte den Server mit NODE_IP=<Adresse dieses Rechners in seinem Netz>.',
  },
  insecureRoom: {
    title: 'Der Raum ist nicht sicher',
    why: (url) => `Diese Seite kam über https, und dann lehnen Browser ${url} ab.`,
    todo: 'Der Betreiber dieses Servers muss dem Raum eine wss://-Adresse geben.',
  },
  noRoom: {
    title: 'Der Raum ist nicht erreichbar',
    why: (url) => `Die Seite ist da, aber ${url} antwortet nicht.`,
    todo: 'Prüfe dein Netz. Ist es in Ordnung, sag dem Betreiber dieses Servers Bescheid.',
  },
  unreachable: {
    title: 'Der Server antwortet nicht',
    why: 'Er läuft nicht, oder das Netz erreicht ihn nicht.',
    todo: 'Prüfe dein Netz, warte einen Moment und versuche es noch einmal.',
  },
  incomplete: {
    title: 'Ein Teil dieser Seite fehlt',
    why: 'Er ließ sich nicht laden: Die Seite wurde inzwischen erneuert, oder das Netz ist weg.',
    todo: 'Prüfe dein Netz und lade die Seite neu.',
  },
  insecurePage: {
    title: 'Diese Seite ist nicht sicher',
    why: 'Browser geben ein Mikrofon nur an https-Seiten und an localhost.',
    todo: 'Öffne diese Seite mit https:// davor, oder auf dem Rechner selbst als http://localhost.',
  },
  noWebRtc: {
    title: 'Dieser Browser kann keine Gespräche führen',
    why: 'Er hat kein WebRTC, oder es ist abgeschaltet, wie im Blockierungsmodus eines iPhones.',
    todo: 'Erlaube WebRTC in diesem Browser, oder öffne diese Seite in einem anderen.',
  },
};
