"""Which model of speech recognition the setting STT means, of those that the engine computes."""

from pathlib import Path

from worker.engine.files.model_config import RECOGNISERS

DEFAULT = "kyutai/stt-1b-en_fr"  # English and French, words 0.5 s late


def kyutais(stt: str, *, on_gpu: bool) -> str | None:
    """Return the folder or repository of a model of Kyutai's kind; None: STT means no such one.

    A folder is one of that kind if its config.json says so.
    """
    if stt == "auto":
        return DEFAULT if on_gpu else None
    config = Path(stt).expanduser() / "config.json"
    is_folder = config.is_file() and f'"{RECOGNISERS[0]}"' in config.read_text(errors="replace")
    return stt if is_folder or stt.startswith("kyutai/") else None
