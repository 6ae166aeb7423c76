"""Read a model's text tokenizer, a sentencepiece model."""

from moshi.models.lm import LMModel
from sentencepiece import SentencePieceProcessor

from protocol.errors import InvalidInput
from worker.engine.files.model_files import ModelFiles
from worker.engine.files.weight_files import what_is_wrong


def read_tokenizer(files: ModelFiles, text_card: int) -> SentencePieceProcessor:
    """Read a model's tokenizer; raise `InvalidInput` for one that is damaged or another model's."""
    try:
        tokenizer = SentencePieceProcessor(str(files.tokenizer))
    except (RuntimeError, OSError) as error:
        why = what_is_wrong(files.tokenizer)
        raise InvalidInput(
            f"MODEL={files.name!r}: {files.tokenizer.name} is no sentencepiece model"
            + (f": {why}" if why else "")
        ) from error
    if tokenizer.vocab_size() > text_card:
        raise InvalidInput(
            f"MODEL={files.name!r}: {files.tokenizer.name} has {tokenizer.vocab_size()} pieces, "
            f"but the model knows {text_card}: they belong to different models"
        )
    return tokenizer


def pieces_of(lm: LMModel, tokenizer: SentencePieceProcessor) -> tuple[str | None, ...]:
    """Return the piece of each text token; None for padding, control, unknown."""
    padding = {lm.text_padding_token_id, lm.end_of_text_padding_id}
    known = tokenizer.vocab_size()
    return tuple(
        None
        if token in padding
        or token >= known
        or tokenizer.is_control(token)
        or tokenizer.is_unknown(token)
        else tokenizer.id_to_piece(token)
        for token in range(lm.text_card)
    )
