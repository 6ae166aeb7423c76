/** What went wrong and what to do about it, in French. */

import type { Troubles } from './troubles.en';

export const troubles: Troubles = {
  again: 'Réessayez.',
  failed: { title: 'La conversation n’a pas commencé' },
  full: {
    title: 'Toutes les places sont prises',
    todo: 'Entrez dans la file : vous entrerez automatiquement.',
  },
  slow: { title: 'Le modèle est saturé' },
  tooMany: { title: 'Trop de voix', todo: 'Choisissez moins de voix.' },
  link: {
    title: 'Ce lien n’est plus valable',
    todo: 'Demandez-en un nouveau à la personne qui vous a invité.',
  },
  unknown: { title: 'Ce serveur ne vous connaît pas' },
  ownMachine: 'Ouvrez la page sur la machine elle-même, ou demandez un lien d’invitation.',
  noKey: 'Il faut une clé ou une invitation : demandez un lien à l’exploitant de ce serveur.',
  input: {
    title: 'Un de vos choix ne peut pas être utilisé',
    todo: 'Changez-le dans « Voix et modèle » ou dans votre personnage.',
  },
  tooFast: { title: 'Trop d’essais', todo: 'Attendez une minute, puis réessayez.' },
  notReady: {
    title: 'Aucune voix ne peut encore répondre',
    todo: 'Attendez un instant ; cette page vérifie toutes les deux secondes.',
  },
  refused: {
    title: 'Le serveur a refusé',
    todo: 'Rechargez la page. Si cela n’aide pas, prévenez l’exploitant de ce serveur.',
  },
  blocked: {
    title: 'Votre navigateur ou système a bloqué le micro',
    why: 'Cette page n’a pas le droit d’écouter.',
    todo: 'Autorisez le micro avec l’icône à côté de l’adresse, puis réessayez.',
  },
  noMicrophone: {
    title: 'Aucun micro trouvé',
    why: 'Le navigateur ne voit aucun appareil qui puisse vous entendre.',
    todo: 'Branchez-en un ou activez-le dans les réglages du son du système, puis réessayez.',
  },
  busyMicrophone: {
    title: 'Le micro est déjà utilisé',
    why: 'Un autre programme l’utilise, ou il n’a pas démarré.',
    todo: 'Fermez l’autre programme ou rebranchez le micro, puis réessayez.',
  },
  microphone: { title: 'Le micro est en panne' },
  twice: {
    title: 'Vous êtes entré depuis un autre endroit',
    why: 'Vous êtes entré une deuxième fois dans ce salon, dans un autre onglet ou appareil.',
  },
  removed: {
    title: 'Vous n’êtes plus dans le salon',
    why: 'L’appel a été terminé pour vous, par son hôte ou par l’exploitant de ce serveur.',
  },
  closed: { title: 'Le salon a été fermé', why: 'Le serveur a mis fin à cette conversation.' },
  shutdown: { title: 'Le serveur s’arrête', why: 'Il est en cours d’arrêt ou de redémarrage.' },
  lost: {
    title: 'La connexion est perdue',
    why: 'Le serveur n’a pas répondu pendant un moment.',
    todo: 'Vérifiez votre réseau, puis réessayez.',
  },
  ticket: {
    title: 'Vous n’avez pas pu entrer',
    why: 'Le salon n’a pas accepté le billet de cette page.',
  },
  roomFull: {
    title: 'Le salon est plein',
    todo: 'Réessayez quand l’une d’elles sera partie.',
  },
  noPath: {
    title: 'Le son ne passe pas',
    why: 'Le salon est joignable, mais le réseau ne laisse passer aucune voix (UDP).',
    todo: 'Essayez un autre réseau, ou désactivez le VPN ou le pare-feu qui la bloque.',
  },
  noLoopback: {
    title: 'Le son ne passe pas',
    why: 'Le salon sur cette machine est joignable, mais aucune voix : Firefox et quelques autres n’en envoient pas à 127.0.0.1.',
    todo: 'Utilisez Chrome ou Edge, ou démarrez le serveur avec NODE_IP=<adresse de cette machine dans son réseau>.',
  },
  insecureRoom: {
    title: 'Le salon n’est pas sécurisé',
    why: (url) => `Cette page est venue par https, et les navigateurs refusent alors ${url}.`,
    todo: 'L’exploitant de ce serveur doit donner au salon une adresse wss://.',
  },
  noRoom: {
    title: 'Le salon est injoignable',
    why: (url) => `La page est là, mais ${url} ne répond pas.`,
    todo: 'Vérifiez votre réseau. S’il fonctionne, prévenez l’exploitant de ce serveur.',
  },
  unreachable: {
    title: 'Le serveur ne répond pas',
    why: 'Il ne tourne pas, ou le réseau ne l’atteint pas.',
    todo: 'Vérifiez votre réseau, attendez un instant, puis réessayez.',
  },
  incomplete: {
    title: 'Une partie de cette page manque',
    why: 'Elle n’a pas pu être chargée : la page a été mise à jour, ou le réseau est absent.',
    todo: 'Vérifiez votre réseau, puis rechargez la page.',
  },
  insecurePage: {
    title: 'Cette page n’est pas sécurisée',
    why: 'Les navigateurs ne donnent un micro qu’aux pages https et à localhost.',
    todo: 'Ouvrez cette page avec https:// devant, ou sur la machine elle-même par http://localhost.',
  },
  noWebRtc: {
    title: 'Ce navigateur ne permet pas d’appel',
    why: 'Il n’a pas WebRTC, ou WebRTC y est désactivé, comme en mode Isolement d’un iPhone.',
    todo: 'Autorisez WebRTC dans ce navigateur, ou ouvrez cette page dans un autre.',
  },
};
