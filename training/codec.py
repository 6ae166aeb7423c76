"""The codec's training: Mimi of moshi 0.2.13 learns to say the repertoire and to hear the rest.

At first without codes, then with codebooks that begin with k-means and follow as moving averages
(moshi's own training code). Most of each batch is agents' speech on the frame grid, where the
waveform itself can be learned; others' only has to be told apart.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from moshi.models import loaders
from moshi.models.compression import MimiModel

from training.codec_config import CODEBOOKS, codec_config
from training.corpus import Clip, Corpus, read_corpus
from training.run import Losses, Run
from training.sound import FRAME, RATE_HZ, Codes, Pcm, gain, whole_frames
from training.spectra import spectral_difference

BATCH, CROP = 12, 8  # crops of a batch, frames of a crop
OTHERS = 3  # crops of a batch that are no agent's
STEPS, RATE = 4000, 2e-3
FREE_STEPS = 300  # at first without codes
WAVE, COMMITMENT, OTHERS_WEIGHT = 2.0, 0.25, 0.5
SOUND_GAIN = 8.0  # speech has a level of about an eighth
ELU_GAIN = 1.2
LEAD = 12  # frames of silence before a sentence that is encoded


def new_codec() -> MimiModel:
    """A Mimi of this size, with random weights that neither fade nor grow a sound on its way.

    torch's own first weights lose most of it in every layer: the codes of all sounds were the same.
    """
    codec = loaders.get_mimi(None, codec_config(), num_codebooks=CODEBOOKS)
    for module in codec.modules():
        if isinstance(module, torch.nn.Conv1d):
            _draw(module, module.weight[0].numel())
        elif isinstance(module, torch.nn.ConvTranspose1d):
            taps = module.kernel_size[0] / module.stride[0]
            _draw(module, module.weight.shape[0] * taps)
    first, *_, last = (
        m
        for m in codec.modules()
        if isinstance(m, torch.nn.Conv1d) and 1 in (m.in_channels, m.out_channels)
    )
    first.weight.data.mul_(SOUND_GAIN)
    last.weight.data.div_(SOUND_GAIN)
    return codec


def _draw(module: torch.nn.Conv1d | torch.nn.ConvTranspose1d, inputs: float) -> None:
    if module.groups > 1:  # up and down between 25 and 12.5 Hz
        return
    torch.nn.init.normal_(module.weight, std=ELU_GAIN * inputs**-0.5)
    if module.bias is not None:
        torch.nn.init.zeros_(module.bias)


def agents_crop(clips: tuple[Clip, ...], rng: random.Random) -> Pcm:
    """A piece of an agent's speech, on the grid; some of it may be the silence around it."""
    pcm = rng.choice(clips).pcm
    frames = len(pcm) // FRAME
    return _crop(pcm, rng.randint(-3, max(-3, frames - CROP // 2)) * FRAME)


def others_crop(clips: tuple[Clip, ...], rng: random.Random) -> Pcm:
    """A piece of a person's speech, of any loudness, in noise; or noise, a tone, silence."""
    kind = rng.random()
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(CROP * FRAME)
    sound = noise * gain(rng.uniform(-80, -35))
    if kind < 0.8:
        pcm = rng.choice(clips).pcm
        speech = _crop(pcm, rng.randint(-CROP * FRAME // 2, len(pcm) - CROP * FRAME // 2))
        sound = sound + speech * gain(rng.uniform(-20, 3))
    elif kind < 0.86:
        time = np.arange(CROP * FRAME) / RATE_HZ
        hz = 440.0 if rng.random() < 0.5 else rng.uniform(60, 2000)
        sound = rng.uniform(0.05, 0.5) * np.sin(2 * np.pi * hz * time)
    elif kind < 0.93:
        sound = np.zeros(CROP * FRAME)
    return sound.astype(np.float32)


def _crop(pcm: Pcm, begin: int) -> Pcm:
    out = np.zeros(CROP * FRAME, np.float32)
    first, last = max(0, begin), min(len(pcm), begin + len(out))
    if last > first:
        out[first - begin : last - begin] = pcm[first:last]
    return out


def difference(wanted: torch.Tensor, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of agents' speech `[B, S]`: by spectra, and by the waveform itself."""
    wave = (wanted - given).abs().mean() / (wanted.abs().mean() + 1e-3)
    return spectral_difference(wanted, given), wave


def through(
    codec: MimiModel, sound: torch.Tensor, *, quantized: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sound `[B, S]` as the codec gives it back, and how far latents are from their codes.

    The way of `MimiModel.forward`, where codes can be left out: they come once there is something
    to tell apart.
    """
    latent = codec.encoder(sound[:, None])
    (latent,) = codec.encoder_transformer(latent)
    latent = codec._to_framerate(latent)
    commitment = torch.zeros(())
    if quantized:
        result = codec.quantizer(latent, codec.frame_rate)
        latent, commitment = result.x, result.penalty
    latent = codec._to_encoder_framerate(latent)
    (latent,) = codec.decoder_transformer(latent)
    return codec.decoder(latent)[:, 0, : sound.shape[1]], commitment


@dataclass(slots=True)
class CodecStage:
    """Everything learns together."""

    corpus: Corpus
    run: Run

    def step(self, rng: random.Random) -> Losses:
        """One batch."""
        crops = [agents_crop(self.corpus.agents, rng) for _ in range(BATCH - OTHERS)]
        crops += [others_crop(self.corpus.people, rng) for _ in range(OTHERS)]
        sound = torch.from_numpy(np.stack(crops))
        codec = self.run.model
        assert isinstance(codec, MimiModel)
        given, commitment = through(codec, sound, quantized=self.run.at >= FREE_STEPS)
        own = BATCH - OTHERS
        spectra, wave = difference(sound[:own], given[:own])
        others = spectral_difference(sound[own:], given[own:])
        loss = spectra + WAVE * wave + OTHERS_WEIGHT * others + COMMITMENT * commitment
        _descend(self.run, loss)
        return {
            "spectra": spectra.item(),
            "wave": wave.item(),
            "others": others.item(),
            "commitment": commitment.item(),
        }


def _descend(run: Run, loss: torch.Tensor) -> None:
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    run.optimizer.step()


def codec_run(state: Path, steps: int = STEPS) -> Run:
    """The first stage's run, where it was."""
    torch.manual_seed(0)
    codec = new_codec().train().requires_grad_(True)
    optimizer = torch.optim.AdamW(codec.parameters(), RATE, betas=(0.8, 0.99), weight_decay=1e-4)
    run = Run("codec", state, codec, optimizer, steps, RATE)
    run.resume()
    return run


def train_codec(state: Path, steps: int = STEPS) -> MimiModel:
    """Run the first stage to its end."""
    run = codec_run(state, steps)
    if not run.over:
        run.go(CodecStage(read_corpus(state), run).step)
    codec = run.model
    assert isinstance(codec, MimiModel)
    return codec.eval()


@torch.no_grad()
def encode(codec: MimiModel, pcm: Pcm, lead: int = LEAD) -> Codes:
    """Codes `[K, T]` of a sound, heard after so many frames of silence."""
    sound = whole_frames(np.concatenate([np.zeros(lead * FRAME, np.float32), pcm]))
    return codec.encode(torch.from_numpy(sound)[None, None])[0, :, lead:].numpy()


@torch.no_grad()
def decode(codec: MimiModel, codes: Codes, silence: Codes) -> Pcm:
    """Sound of codes `[K, T]`, said after a second of silence `[K]`."""
    whole = np.concatenate([np.tile(silence[:, None], (1, LEAD)), codes], axis=1)
    return codec.decode(torch.from_numpy(whole)[None])[0, 0, LEAD * FRAME :].numpy()


def silence_of(codec: MimiModel) -> Codes:
    """The codes that silence settles on, `[K]`."""
    return encode(codec, np.zeros(LEAD * FRAME, np.float32), 0)[:, -1]
