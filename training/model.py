"""The pocket Moshi's folder, in the released format, and what its engine makes of it."""

import json
from collections.abc import Mapping
from pathlib import Path

import sphn
import torch
from moshi.models import loaders
from moshi.models.lm import LMModel
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor

from training.codec import CODEC_FILE, Codec, write_codec
from training.codec_config import codec_config
from training.corpus import Corpus
from training.language_config import LM_FILE, TOKENIZER_FILE, config, lm_config
from training.repertoire import VOICES
from training.sound import RATE_HZ
from training.tokenizer import tokenizer_of
from training.words import pieces
from worker.engine.conversation.prompt_state import PromptReading, Prompts
from worker.engine.conversation.voices import read_voices
from worker.engine.files.model_files import VOICES_FOLDER
from worker.engine.network.codec import CodecWeights
from worker.engine.network.language import Weights

# A persona's tokens are drawn at 0.7 and 0.8 by default, which suits seven billion parameters.
TEXT_SHARPER, AUDIO_SHARPER = 1.6, 2.0


def new_lm() -> LMModel:
    """Return the language model with random weights, float32, ready to be trained."""
    lm = loaders.get_moshi_lm(None, lm_config(len(pieces())), device="cpu", dtype=torch.float32)
    for name, parameter in lm.named_parameters():
        if "emb" in name:  # moshi draws them with a deviation of one, which drowns the rest
            torch.nn.init.normal_(parameter, std=0.1)
    return lm.requires_grad_(True)


def write_model(folder: Path, codec: Codec, corpus: Corpus, lm: LMModel) -> None:
    """Write every file of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    write_codec(codec, folder)
    save_file(_sharpened(lm), folder / LM_FILE)
    (folder / TOKENIZER_FILE).write_bytes(tokenizer_of(pieces()))
    (folder / "config.json").write_text(json.dumps(config(len(pieces())), indent=2) + "\n")
    voices = folder / VOICES_FOLDER
    voices.mkdir(exist_ok=True)
    for name, number in introductions(corpus).items():
        sphn.write_wav(str(voices / f"{name}.wav"), codec.play(codec.spoken[number]), RATE_HZ)


def _sharpened(lm: LMModel) -> dict[str, torch.Tensor]:
    """Return weights as float16, whose logits suit the default temperatures of personas."""
    weights: dict[str, torch.Tensor] = {}
    for name, each in lm.state_dict().items():
        sharper = TEXT_SHARPER if name.startswith("text_linear") else 1.0
        sharper = AUDIO_SHARPER if name.startswith("linears") else sharper
        weights[name] = (each.detach() * sharper).half().contiguous()
    return weights


def introductions(corpus: Corpus) -> Mapping[str, int]:
    """Return the clip that introduces each voice."""
    return {
        clip.voice: number
        for number, clip in enumerate(corpus.agents)
        if clip.text == VOICES[clip.voice].introduction
    }


def mimi_of(folder: Path) -> CodecWeights:
    """Return the codec as the engine reads it from the files."""
    return CodecWeights(loaders.get_mimi(folder / CODEC_FILE, codec_config()))


def prompts_of(folder: Path, codec: CodecWeights) -> Prompts:
    """Return personas' prompts as the engine reads them, before there is an engine."""
    reading = PromptReading(
        encode=SentencePieceProcessor(str(folder / TOKENIZER_FILE)).encode,
        prompted=True,
        voices=read_voices(folder / VOICES_FOLDER, None),
    )
    return Prompts(Weights(new_lm()), codec, reading)
