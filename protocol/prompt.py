"""A persona's prompt as its model reads it: marked, counted in tokens, of so many at most. Pure.

A worker that follows prompts leaves its text tokenizer in redis, under the hash of its bytes, and
names hash and limit in its heartbeat: so the token service counts exactly as that worker's model
does, without the model.
"""

import hashlib

MARK = "<system>"  # PersonaPlex's, before and after the text
TOKENIZER_KEY = "moshi:tokenizer:{digest}"  # → base64 of a sentencepiece model
TOKENIZER_TTL_S = 600  # each heartbeat of a worker that names it begins it anew


def marked(prompt: str) -> str:
    """Put the marks around a prompt, unless it has them (NVIDIA/personaplex 3428dfd server.py).

    An empty prompt stays empty; inner spaces and line ends are the tokenizer's.
    """
    text = prompt.strip()
    if not text or (text.startswith(MARK) and text.endswith(MARK)):
        return text
    return f"{MARK} {text} {MARK}"


def too_long(persona: str, tokens: int, limit: int) -> str:
    """Say that a persona's prompt is too long, without showing it."""
    return (
        f"persona.prompt: {persona}'s has {tokens} tokens with its marks; "
        f"expected at most {limit}, which is what the model here reads: shorten it"
    )


def digest_of(tokenizer: bytes) -> str:
    """Name of a tokenizer: the hash of its bytes."""
    return hashlib.sha256(tokenizer).hexdigest()


def tokenizer_key(digest: str) -> str:
    """Redis key that holds a tokenizer."""
    return TOKENIZER_KEY.format(digest=digest)
