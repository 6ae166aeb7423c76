"""The query of `/api/chat`: Moshi's and PersonaPlex's parameters, and `persona` of ours. Pure.

Parameters that none of the models here has (`pad_mult`, `repetition_penalty`, `email` and others)
change nothing, as in those servers.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from protocol.errors import InvalidInput
from protocol.personas import Catalogue, Persona
from protocol.sampling import MOST_AUDIO_TOP_K, MOST_TEXT_TOP_K
from token_service.rooms.persona_request import read_persona

# NVIDIA's clients always name a voice; a fleet without it speaks in its usual one.
NVIDIA_VOICE = re.compile(r"(NAT[FM][0-3]|VAR[FM][0-4])(\.pt)?")
SEEDS = 2**31  # moshi-backend's have 64 bits
TOP_KS = {
    "text_topk": ("text_top_k", MOST_TEXT_TOP_K),
    "audio_topk": ("audio_top_k", MOST_AUDIO_TOP_K),
}


def chosen_persona(
    query: Mapping[str, str], catalogue: Catalogue, default: str, voices: Collection[str]
) -> Persona:
    """Return the persona that a client asks for. Raises `InvalidInput`.

    `voices`: those that the workers have, if there is a choice.
    """
    name = query.get("persona") or default
    known = read_persona(name, catalogue)
    fields: dict[str, Any] = {"name": name}
    if prompt := query.get("text_prompt", "").strip():
        fields["prompt"] = prompt
        if "persona" not in query:
            fields["greeting"] = ""
    if voice := query.get("voice_prompt"):
        is_missing = bool(voices) and voice.removesuffix(".pt") not in voices
        is_usual = is_missing and NVIDIA_VOICE.fullmatch(voice) is not None
        fields["voice"] = "default" if is_usual else voice
    if sampling := _sampling(query):
        fields["sampling"] = known.sampling.model_dump(exclude_none=True) | sampling
    return read_persona(fields, catalogue)


def _sampling(query: Mapping[str, str]) -> dict[str, float | int]:
    """Return the sampling fields in our names; numbers beyond our limits become the limit."""
    fields: dict[str, float | int] = {
        name: _number(query, name)
        for name in ("text_temperature", "audio_temperature")
        if query.get(name)
    }
    for theirs, (ours, most) in TOP_KS.items():
        if query.get(theirs):
            fields[ours] = min(max(_whole(query, theirs), 1), most)
    seeds = (_whole(query, each) for each in ("seed", "text_seed") if query.get(each))
    seed = next(seeds, -1)
    if seed >= 0:  # -1: PersonaPlex's for none
        fields["seed"] = seed % SEEDS
    return fields


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        return float(query[name])
    except ValueError as error:
        raise InvalidInput(f"{name}={query[name]!r:.80}: expected a number") from error


def _whole(query: Mapping[str, str], name: str) -> int:
    number = _number(query, name)
    if not abs(number) <= 2**64 or number % 1:
        raise InvalidInput(f"{name}={query[name]!r:.80}: expected a whole number")
    return int(number)
