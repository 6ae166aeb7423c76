/** What a persona's agent sends about a turn on the topic `turn`. Pure. */

/** How long a turn took from voice to voice; `null` if it is no such message: any participant may send one. */
export function latencyOf(payload: Uint8Array): number | null {
  try {
    const message: unknown = JSON.parse(new TextDecoder().decode(payload));
    const latency = (message as { latency_ms?: unknown } | null)?.latency_ms;
    return typeof latency === 'number' && Number.isFinite(latency) ? latency : null;
  } catch {
    return null;
  }
}
