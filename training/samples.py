"""What each voice of the pocket Moshi sounds like: `python -m training.samples`.

The shipped model itself says a greeting in each of its voices, with a fixed seed; the page plays
the recordings (WebM with Opus, which every browser plays) where a person chooses a voice.
"""

from fractions import Fraction
from pathlib import Path

import av

from protocol.config.settings import PROJECT, Settings
from training.repertoire import PERSONA_VOICES
from training.sound import Pcm, without_silence
from training.told import Rehearsal
from worker.engine.files import pocket
from worker.engine.load import load_model
from worker.frames import to_int16

FOLDER = PROJECT / "web" / "src" / "samples" / pocket.NAME
SENTENCE = "You can interrupt me at any time."
SEED = 0
RATE_HZ = 24_000
BIT_RATE = 24_000
AROUND = 1_200  # samples of silence that are left at either end


def write_webm(path: Path, pcm: Pcm) -> None:
    """Write sound, float32 at 24 kHz, as Opus in WebM."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        samples = to_int16(pcm).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def main() -> None:
    """Let every voice say the sentence, and write the recordings."""
    model = load_model(Settings(model=pocket.NAME, capacity=len(PERSONA_VOICES)), lambda line: None)
    told = Rehearsal(model).tell(dict.fromkeys(PERSONA_VOICES, SENTENCE), SEED)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for persona, voice in PERSONA_VOICES.items():
        if (sound := told[persona].sound()) is None:
            raise SystemExit(f"{voice} did not say the sentence to its end")
        path = FOLDER / f"{voice}.webm"
        write_webm(path, without_silence(sound, AROUND, AROUND))
        print(f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
