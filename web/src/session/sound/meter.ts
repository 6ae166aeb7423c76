/** How loud a track is, from the sound itself. One audio context serves all meters. */

/** What a meter reads: a level and a spectrum, all in 0 (silence) to 1 (loud). */
export interface Loudness {
  level: number;
  bands: Float32Array;
}

export const BANDS = 16;

const FLOOR_DBFS = -55;
const CEILING_DBFS = -14;
const FFT_SAMPLES = 1024;
const LOWEST_HZ = 90;
const HIGHEST_HZ = 7_000;
const RISE = 0.7; // share of the way towards a louder reading, per reading of 32 ms
const FALL = 0.26;

let context: AudioContext | undefined;

/** The page's audio context. Call it first from a click, or the browser keeps it suspended. */
export function soundContext(): AudioContext {
  context ??= resumedOnReturn(new AudioContext({ latencyHint: 'interactive' }));
  resume(context);
  return context;
}

/** Resume a context that the system stopped: iOS interrupts it for a telephone call or Siri. */
function resumedOnReturn(stopped: AudioContext): AudioContext {
  const resumeIfSeen = () => {
    if (document.visibilityState === 'visible') resume(stopped);
  };
  stopped.addEventListener('statechange', resumeIfSeen);
  document.addEventListener('visibilitychange', resumeIfSeen);
  return stopped;
}

function resume(stopped: AudioContext): void {
  if (stopped.state !== 'running') stopped.resume().catch(() => undefined);
}

/** Reads one track; close it when the track goes. */
export class Meter {
  private readonly source: MediaStreamAudioSourceNode;
  private readonly analyser: AnalyserNode;
  private readonly samples = new Float32Array(FFT_SAMPLES);
  private readonly spectrum = new Uint8Array(FFT_SAMPLES / 2);
  private readonly edges: number[];
  private readonly loudness: Loudness = { level: 0, bands: new Float32Array(BANDS) };

  constructor(track: MediaStreamTrack) {
    const sound = soundContext();
    this.source = sound.createMediaStreamSource(new MediaStream([track]));
    this.analyser = new AnalyserNode(sound, {
      fftSize: FFT_SAMPLES,
      smoothingTimeConstant: 0.55,
      minDecibels: -88,
      maxDecibels: -28,
    });
    this.source.connect(this.analyser);
    this.edges = bandEdges(sound.sampleRate);
  }

  /** The loudness now, rising fast and falling slowly; meant to be called once per picture. */
  read(): Loudness {
    this.analyser.getFloatTimeDomainData(this.samples);
    this.analyser.getByteFrequencyData(this.spectrum);
    const { loudness } = this;
    loudness.level = follow(loudness.level, levelOf(this.samples));
    for (let band = 0; band < BANDS; band++) {
      const from = this.edges[band] ?? 0;
      const to = Math.max(from + 1, this.edges[band + 1] ?? 0);
      let peak = 0;
      for (let bin = from; bin < to; bin++) peak = Math.max(peak, this.spectrum[bin] ?? 0);
      loudness.bands[band] = follow(loudness.bands[band] ?? 0, peak / 255);
    }
    return loudness;
  }

  close(): void {
    this.source.disconnect();
  }
}

/** Samples in [-1, 1] → 0 at -55 dBFS and below, 1 at -14 dBFS and above. */
export function levelOf(samples: Float32Array): number {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const dbfs = 10 * Math.log10(power / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (dbfs - FLOOR_DBFS) / (CEILING_DBFS - FLOOR_DBFS)));
}

function follow(now: number, heard: number): number {
  return now + (heard - now) * (heard > now ? RISE : FALL);
}

/** Spectrum bins that bound the bands, spaced as the ear hears: by equal ratios. */
function bandEdges(rateHz: number): number[] {
  const perBin = rateHz / FFT_SAMPLES;
  const ratio = HIGHEST_HZ / LOWEST_HZ;
  return Array.from({ length: BANDS + 1 }, (_, edge) =>
    Math.round((LOWEST_HZ * ratio ** (edge / BANDS)) / perBin),
  );
}
