/** Recordings of what voices sound like, by the model’s name and the voice’s. */

const FILES = import.meta.glob<string>('../../samples/*/*.webm', {
  eager: true,
  query: '?url',
  import: 'default',
});

/** The address of a voice’s recording; `undefined` where there is none. */
export function sampleOf(model: string | undefined, voice: string): string | undefined {
  return FILES[`../../samples/${model}/${voice}.webm`];
}
