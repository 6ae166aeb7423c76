/** The quality of the connection: its round trip and its protocol, from WebRTC's own statistics. */

import type { LocalTrack } from 'livekit-client';
import { Gauge } from './readings';

const EVERY_MS = 2_000;

export interface Path {
  roundTripMs: number;
  /** `udp` or `tcp`. */
  protocol: string;
}

export class ConnectionQuality {
  readonly roundTrip = new Gauge();
  protocol = '';
  private timer: ReturnType<typeof setInterval> | undefined;

  /** Measure every two seconds until `stop` is called. */
  start(track: LocalTrack): void {
    this.stop();
    this.timer = setInterval(() => void this.measure(track), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async measure(track: LocalTrack): Promise<void> {
    const report = await track.getRTCStatsReport().catch(() => undefined);
    const path = report && pathOf(report);
    if (!path) return;
    this.protocol = path.protocol;
    this.roundTrip.add(path.roundTripMs);
  }
}

/** Find the pair of addresses in use among WebRTC's statistics. Pure. */
export function pathOf(report: { forEach: RTCStatsReport['forEach'] }): Path | null {
  let pair: RTCIceCandidatePairStats | undefined;
  const protocols = new Map<string, string>();
  report.forEach((each) => {
    if (each.type === 'candidate-pair' && each.nominated && each.state === 'succeeded') pair = each;
    if (each.type === 'local-candidate') protocols.set(each.id, each.protocol);
  });
  if (pair?.currentRoundTripTime === undefined) return null;
  const protocol = protocols.get(pair.localCandidateId) ?? '';
  return { roundTripMs: pair.currentRoundTripTime * 1000, protocol };
}
