"""How tokens are sampled: a model's defaults, and what a persona sets instead. Pure."""

from pydantic import BaseModel, ConfigDict, Field

# As many candidates as a CUDA graph captures: a seed then gives the same tokens everywhere.
MOST_TEXT_TOP_K, MOST_AUDIO_TOP_K = 128, 256
MOST_TEMPERATURE = 2.0


class UsualSampling(BaseModel):
    """A model's own sampling.

    Defaults: moshi 0.2.13 lm.py `LMGen.__init__`; a model's config.json may have others.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    text_temperature: float = Field(default=0.7, ge=0.0, le=MOST_TEMPERATURE)
    text_top_k: int = Field(default=25, ge=1, le=MOST_TEXT_TOP_K)
    audio_temperature: float = Field(default=0.8, ge=0.0, le=MOST_TEMPERATURE)
    audio_top_k: int = Field(default=250, ge=1, le=MOST_AUDIO_TOP_K)


class Sampling(BaseModel):
    """The sampling of a persona's tokens; missing fields take the defaults of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_temperature: float | None = Field(default=None, ge=0.0, le=MOST_TEMPERATURE, strict=True)
    text_top_k: int | None = Field(default=None, ge=1, le=MOST_TEXT_TOP_K, strict=True)
    audio_temperature: float | None = Field(default=None, ge=0.0, le=MOST_TEMPERATURE, strict=True)
    audio_top_k: int | None = Field(default=None, ge=1, le=MOST_AUDIO_TOP_K, strict=True)
    seed: int | None = Field(default=None, ge=0, lt=2**31, strict=True)

    def over(self, usual: UsualSampling) -> UsualSampling:
        """Return a model's sampling with the persona's values in place of its own."""
        own = {name: getattr(self, name) for name in UsualSampling.model_fields}
        return usual.model_copy(update={name: own[name] for name in own if own[name] is not None})


class StoredSampling(Sampling):
    """The sampling of a persona in a room spec, with what a newer version adds to it."""

    model_config = ConfigDict(extra="allow", from_attributes=True)
