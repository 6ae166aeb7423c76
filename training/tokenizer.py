"""A sentencepiece tokenizer for small models: control ids, bytes, characters, whole words. Pure."""

from collections.abc import Iterable
from typing import Any

from sentencepiece import sentencepiece_model_pb2

VOCABULARY = """
    a about after again all almost along already also always and another any anything are around
    as ask at away back be because been before begin being believe better between big both bring but
    by call came can change come could day did different do does done door down each early easy
    enough even evening ever every example far few find first follow food for found friend from full
    funny garden gave get give go good great green had hand happy hard has have he head hear heard
    hello help her here high him his home hour house how idea if imagine in interesting into is it
    just keep kind know last later laugh learn leave left less let letter life light like listen
    little live long look made make many maybe me mean might moment moon more morning most move much
    music must my name near need never new next nice night no not nothing now of off often oh okay
    old on once one only open or other our out over own paper part people perhaps place play
    please point question quite rain read ready really remember right river room said same say
    sea see seem she should show side simple sing sky slow small so some something soon sound
    speak start stay still stop story street such summer sun sure take talk tell than thank that the
    their them then there these they thing think this those thought time to today together tomorrow
    too tree try turn two under until up us use very voice wait walk want warm was water way we well
    went were what when where which while who why will wind window winter with wonder word work
    world would year yes yesterday yet you young your
    """
WORDS = tuple(VOCABULARY.split())
MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()/<>"


def pieces_of(words: Iterable[str]) -> list[str]:
    """Return the piece of every text id: control ids, bytes, characters, words."""
    control = ["<unk>", "<s>", "</s>", "<pad>"]
    single_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    return [*control, *single_bytes, "▁", *MARKS, *(f"▁{word}" for word in words)]


def tokenizer_of(pieces: list[str]) -> bytes:
    """Return a sentencepiece model that reads any text: known words whole, others by letters."""
    proto: Any = sentencepiece_model_pb2  # its classes are made at import: no checker sees them
    model = proto.ModelProto()
    spec = model.trainer_spec
    spec.model_type = spec.UNIGRAM
    spec.vocab_size = len(pieces)
    spec.byte_fallback = True
    spec.unk_id, spec.bos_id, spec.eos_id, spec.pad_id = 0, 1, 2, 3
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    kinds = proto.ModelProto.SentencePiece
    for index, piece in enumerate(pieces):
        kind = kinds.NORMAL
        if index < 4:
            kind = kinds.UNKNOWN if index == 0 else kinds.CONTROL
        elif index < 4 + 256:
            kind = kinds.BYTE
        score = -2.0 * len(piece) ** 0.5 if kind == kinds.NORMAL else 0.0
        model.pieces.add(piece=piece, score=score, type=kind)
    return model.SerializeToString(deterministic=True)
