"""A persona's prompt as its model reads it: with marks, and limited in tokens. Pure.

A worker whose model reads prompts writes the model's tokenizer into redis, under the hash of its
bytes, and names hash and limit in its heartbeat. The token service counts tokens with it.
"""

import hashlib

MARK = "<system>"  # PersonaPlex's, before and after the text
TOKENIZER_TTL_S = 600  # renewed with each heartbeat that names it


def marked(prompt: str) -> str:
    """Put marks around a prompt that has none (NVIDIA/personaplex 3428dfd server.py).

    An empty prompt stays empty.
    """
    text = prompt.strip()
    if not text or (text.startswith(MARK) and text.endswith(MARK)):
        return text
    return f"{MARK} {text} {MARK}"


def too_long(persona: str, tokens: int, limit: int) -> str:
    """Return the refusal of a prompt that has too many tokens; it does not show the prompt."""
    return (
        f"persona.prompt: {persona}'s has {tokens} tokens with its marks; "
        f"expected at most {limit}, which is what the model here reads: shorten it"
    )


def digest_of(tokenizer: bytes) -> str:
    """Return the name of a tokenizer: the hash of its bytes."""
    return hashlib.sha256(tokenizer).hexdigest()


def tokenizer_key(digest: str) -> str:
    return f"moshi:tokenizer:{digest}"  # → base64 of a sentencepiece model
