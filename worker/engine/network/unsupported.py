"""Which language models this engine does not compute as upstream does: those are refused.

Looks at modules, which may be without weights (on the meta device).
"""

from moshi.models.lm import LMModel
from moshi.modules.transformer import StreamingTransformer, StreamingTransformerLayer

from worker.engine.network.transformer import UnsupportedModel, refuse_transformer


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
