"""Tokens of a corpus: its characters, or sentencepiece units learned from its training texts."""

import io

from lottery_train.errors import ConfigError
from runtime.errors import require_extra
from runtime.tokenizer import BLANK, Tokenizer


def build_tokens(texts, *, spec):
    """Choose the tokens of a corpus.

    Args:
        texts: training transcripts.
        spec: `char`, or `bpe:N` or `unigram:N` for a vocabulary of N sentencepiece units, the blank among them.
    Returns:
        (Tokenizer, model): model is the serialised sentencepiece model, None for characters.
    Raises:
        ConfigError: N is too small for the corpus's characters, or (bpe) too large for its texts.
    """
    if spec == "char":
        return Tokenizer.from_texts(texts), None
    sentencepiece = require_extra("sentencepiece", extra="train")
    model, (kind, _, size) = io.BytesIO(), spec.partition(":")
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=int(size),
            model_type=kind,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            unk_id=0,
            unk_piece=BLANK,
            # A corpus of few words gives fewer unigram units than asked for; BPE has no such limit to soften.
            hard_vocab_limit=kind == "bpe",
            minloglevel=2,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"tokens {spec!r} cannot be learned from {len(texts)} texts: {error}",
            hint="use characters (--tokens char), or another number of units",
        ) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = tuple(processor.id_to_piece(index) for index in range(processor.get_piece_size()))
    return Tokenizer(pieces), model.getvalue()


def encoder(tokenizer, model):
    """Return the function text -> symbol ids of what `build_tokens` gave."""
    if model is None:
        return tokenizer.encode
    sentencepiece = require_extra("sentencepiece", extra="train")
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return processor.encode
