"""Refuse models that this engine would not compute as upstream does.

Checks modules, which may be without weights (on the meta device).
"""

from moshi.models.lm import LMModel
from moshi.modules.transformer import StreamingTransformer, StreamingTransformerLayer


class UnsupportedModel(ValueError):
    """The model has a part that this engine does not compute."""


def layers_of(module: StreamingTransformer) -> list[StreamingTransformerLayer]:
    """Return the layers of a transformer that are of the class this engine computes."""
    return [layer for layer in module.layers if isinstance(layer, StreamingTransformerLayer)]


def refuse_unsupported(lm: LMModel) -> None:
    """Raise `UnsupportedModel` for a model that would fail, or say other things than upstream."""
    if lm.depformer is None or lm.fuser is not None:
        raise UnsupportedModel("expected a model with a depformer and without conditions")
    if lm.dep_q >= lm.n_q:
        raise UnsupportedModel(
            f"dep_q={lm.dep_q} of n_q={lm.n_q}: the model speaks all codebooks and hears none; "
            "expected one for conversations, with codebooks of the user's own"
        )
    refuse_transformer(lm.transformer)
    _refuse_depformer(lm.depformer)


def refuse_recogniser(lm: LMModel) -> None:
    """Raise `UnsupportedModel` for a model that does not recognise speech as Kyutai's do."""
    if lm.dep_q or lm.fuser is not None:
        raise UnsupportedModel(f"dep_q={lm.dep_q}: expected 0, for words alone, and no conditions")
    if any(lm.delays):
        raise UnsupportedModel("delays: expected 0 for every stream of a model that recognises")
    refuse_transformer(lm.transformer)


def _refuse_depformer(module: StreamingTransformer) -> None:
    if module.positional_embedding != "none":
        raise UnsupportedModel(
            f"depformer_pos_emb={module.positional_embedding!r}: expected 'none'"
        )
    for layer in module.layers:
        if not isinstance(layer, StreamingTransformerLayer) or layer.skip_self_attn:
            raise UnsupportedModel("depformer: only plain self-attention layers")
        if layer.self_attn.kv_repeat != 1 or not layer.self_attn.causal:
            raise UnsupportedModel("depformer: expected causal attention and kv_repeat=1")


def refuse_transformer(module: StreamingTransformer) -> None:
    """Raise `UnsupportedModel` for a transformer that is not computed as upstream does it."""
    layers = layers_of(module)
    if len(layers) != len(module.layers):
        raise UnsupportedModel("transformer: layers of another class")
    if module.positional_embedding not in {"rope", "none"}:
        raise UnsupportedModel(
            f"positional_embedding={module.positional_embedding!r}: expected 'rope' or 'none'"
        )
    for layer in layers:
        if layer.skip_self_attn or layer.cross_attention is not None or layer.weights_per_step:
            raise UnsupportedModel("transformer: only plain self-attention layers")
        attention = layer.self_attn
        if not attention.causal or attention.kv_repeat != 1 or attention.context is None:
            raise UnsupportedModel("transformer: expected causal, kv_repeat=1 and a context")
