"""The codec's stage: from speech to the files of a Mimi, and to the tokens that agents speak.

There is no gradient descent: bases are principal components, codebooks k-means and least squares.
The search for an agent's tokens follows several paths, so they sound better than those of the
codec's own encoder; the language model learns the former.
"""

import json
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from training.analysis import Analysis, loudness
from training.codebooks import Codebooks, k_means
from training.codec_config import CARD, CODEBOOKS, codec_config
from training.corpus import Clip, Corpus
from training.ears import Ears
from training.mimi import mimi_weights
from training.sound import FRAME, FRAMES_PER_S, Codes, Pcm
from training.surroundings import Heard, Surrounding, surroundings

ROUNDS = 4  # of fitting and searching
SILENT = 1e-3  # RMS
SURROUNDINGS = 48
LEARNED_FROM = 40_000  # frames that codebook 0 is fitted to
CODEC_FILE, CODEC_CONFIG_FILE = "mimi.safetensors", "mimi.json"


@dataclass(frozen=True, slots=True)
class HeardCodes:
    """A sound that is heard, as codes `[8, T]`, and the frame in which it ends."""

    codes: Codes
    end: int
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A surrounding as codes."""

    noise: Codes
    speech: tuple[HeardCodes, ...]
    bursts: tuple[HeardCodes, ...]
    gusts: tuple[HeardCodes, ...]
    echoes: tuple[Codes, ...] = ()  # of each clip of the agents, or none of any


@dataclass(frozen=True, slots=True)
class Codec:
    """The computed codec."""

    analysis: Analysis
    waves: Codebooks
    sounds: torch.Tensor  # [CARD, FRAME_LOUDNESS]
    spoken: tuple[Codes, ...]  # of each clip of the agents, `[8, T]`

    def hear(self, pcm: Pcm) -> Codes:
        """Return the codes `[8, T]` of whole frames, as the written Mimi encodes them."""
        sound = frames_of(pcm)
        first = nearest_sound(loudness(sound), self.sounds)
        rest = self.waves.nearest(self.analysis.wave(sound))
        return torch.cat([first[:, None], rest], dim=1).T.numpy()

    def play(self, codes: Codes) -> Pcm:
        """Return the sound of codes `[8, T]`."""
        wave = self.waves.decode(torch.from_numpy(codes[1:].T.copy()))
        return self.analysis.sound(wave).reshape(-1).numpy()

    def place(self, here: Surrounding) -> Place:
        """Return a surrounding as codes."""

        def heard(each: Heard) -> HeardCodes:
            return HeardCodes(self.hear(each.pcm), int(each.end_s * FRAMES_PER_S), each.soft)

        return Place(
            self.hear(here.noise),
            tuple(map(heard, here.speech)),
            tuple(map(heard, here.bursts)),
            tuple(map(heard, here.gusts)),
            tuple(map(self.hear, here.echoes)),
        )


def frames_of(pcm: Pcm) -> torch.Tensor:
    """Return whole frames of sound, `[T, FRAME]`."""
    return torch.from_numpy(np.ascontiguousarray(pcm)).reshape(-1, FRAME)


def nearest_sound(heard: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
    """Return the codes of codebook 0, `[T]`."""
    return Codebooks([sounds]).nearest(heard)[:, 0]


def all_heard(corpus: Corpus) -> list[Surrounding]:
    """Return the surroundings in which the model learns to hear; agents are heard there, too."""
    people = corpus.people + corpus.agents[::3]
    return list(surroundings(people, corpus.agents, SURROUNDINGS))


def compute_codec(corpus: Corpus, places: list[Surrounding]) -> Codec:
    """Compute bases, codebooks and the agents' tokens."""
    sound = torch.cat([frames_of(clip.pcm) for clip in corpus.agents])
    analysis = Analysis.of(sound)
    wave = analysis.wave(sound)
    waves = Codebooks.of(wave, CODEBOOKS - 1, CARD)
    codes = waves.fit(wave, ROUNDS)
    codes[sound.square().mean(dim=1).sqrt() < SILENT] = 0
    sounds = _sounds(sound, places)
    codes = torch.cat([nearest_sound(loudness(sound), sounds)[:, None], codes], dim=1)
    lengths = [len(clip.pcm) // FRAME for clip in corpus.agents]
    spoken = tuple(part.T.contiguous().numpy() for part in codes.split(lengths))
    return Codec(analysis, waves, sounds, spoken)


def _sounds(agents: torch.Tensor, places: list[Surrounding]) -> torch.Tensor:
    """Return codebook 0: the loudness that occurs among people, noise and agents."""
    pieces = [loudness(agents)]
    for place in places:
        heard_there = chain(place.speech, place.bursts, place.gusts)
        pieces += [loudness(frames_of(each.pcm)) for each in heard_there]
        pieces += [loudness(frames_of(pcm)) for pcm in (place.noise, *place.echoes[::10])]
    heard = torch.cat(pieces)
    chance = torch.Generator().manual_seed(1)
    return k_means(heard[torch.randperm(len(heard), generator=chance)[:LEARNED_FROM]], CARD)


def write_codec(codec: Codec, folder: Path) -> None:
    """Write the files of the Mimi."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = mimi_weights(codec.analysis, codec.waves, codec.sounds)
    save_file({name: each.contiguous() for name, each in weights.items()}, folder / CODEC_FILE)
    (folder / CODEC_CONFIG_FILE).write_text(json.dumps(codec_config(), indent=2) + "\n")


def understood(codec: Codec, clips: tuple[Clip, ...]) -> list[bool]:
    """Return for each sentence whether a recogniser understands it as the codec plays it."""
    ears = Ears([clip.text for clip in clips])
    played = map(codec.play, codec.spoken)
    return [ears.hear(pcm) == clip.text for clip, pcm in zip(clips, played, strict=True)]


def read_codec(state: Path, corpus: Corpus) -> tuple[Codec, list[Place]]:
    """Return the codec in the state folder; compute it first if it is not there."""
    path = state / "codec.pt"
    if not path.exists():
        began = time.monotonic()
        heard = all_heard(corpus)
        codec = compute_codec(corpus, heard)
        places = [codec.place(each) for each in heard]
        draft = path.with_suffix(".draft")
        torch.save((codec, places), draft)
        draft.rename(path)
        print(f"codec: computed in {time.monotonic() - began:.0f} s", flush=True)
    return torch.load(path, weights_only=False)
