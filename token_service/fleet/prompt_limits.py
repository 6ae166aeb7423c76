"""Checks prompts against the limits of the models that would read them.

A worker that follows prompts names its limit and its tokenizer in its heartbeat and keeps the
tokenizer in redis, so tokens are counted here as its model counts them.
"""

import asyncio
import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from sentencepiece import SentencePieceProcessor

from protocol.errors import InvalidInput
from protocol.heartbeat import Heartbeat
from protocol.personas import Persona
from protocol.prompt import digest_of, marked, tokenizer_key, too_long
from token_service.fleet.fleet import Fleet

log = structlog.stdlib.get_logger(__name__)

KEPT = 8  # tokenizers: of models that run side by side, or were replaced


@dataclass(slots=True)
class PromptLimits:
    """Counts the tokens of prompts as the workers do. Each tokenizer is fetched once."""

    redis: Redis
    _tokenizers: dict[str, SentencePieceProcessor] = field(
        default_factory=dict[str, SentencePieceProcessor]
    )

    async def check(self, personas: Iterable[Persona], fleet: Fleet) -> None:
        """Raise `InvalidInput` for a prompt that is too long for any of the workers.

        A room may move from one worker to another, so all must be able to read it whole.
        """
        prompts = [(each.name, marked(each.prompt)) for each in personas if each.prompt]
        if not prompts:
            return
        for worker in _readers(fleet):
            tokenizer = await self._tokenizer(worker.tokenizer)
            for name, text in prompts:
                tokens = len(tokenizer.encode(text)) if tokenizer is not None else 0
                if tokens > worker.prompt_tokens:
                    raise InvalidInput(too_long(name, tokens, worker.prompt_tokens))

    async def _tokenizer(self, digest: str) -> SentencePieceProcessor | None:
        """Return the tokenizer with this digest; None where redis lacks it."""
        if digest in self._tokenizers:
            return self._tokenizers[digest]
        kept: Any = await self.redis.get(tokenizer_key(digest))
        try:
            content = base64.b64decode(kept or "", validate=True)
            if digest_of(content) != digest:
                raise ValueError("another content")
            tokenizer = await asyncio.to_thread(SentencePieceProcessor, model_proto=content)
        except (ValueError, RuntimeError) as error:
            log.warning("tokenizer_unreadable", digest=digest, error=type(error).__name__)
            return None
        while len(self._tokenizers) >= KEPT:
            del self._tokenizers[next(iter(self._tokenizers))]
        self._tokenizers[digest] = tokenizer
        return tokenizer


def _readers(fleet: Fleet) -> list[Heartbeat]:
    """Return the workers that may host a room and follow prompts, one of each kind of model."""
    kinds = {
        (worker.tokenizer, worker.prompt_tokens): worker
        for worker in fleet.ready or fleet.workers
        if worker.tokenizer and worker.model_prompts
    }
    return list(kinds.values())


def limit_of(fleet: Fleet) -> int | None:
    """Return how many tokens a prompt may have on every worker; None: no worker has a limit."""
    return min((worker.prompt_tokens for worker in _readers(fleet)), default=None)
