"""Tokens of a corpus: its characters, or sentencepiece units learned from its training texts."""

import io
from pathlib import Path

from lottery_train.errors import ConfigError
from runtime.errors import require_extra
from runtime.files import read_json
from runtime.tokenizer import BLANK, Tokenizer

# Blank, word start and 26 letters: what an English corpus has, give or take an apostrophe.
_NOMINAL_CHARACTERS = 28
_MODEL_HINT = "restore both files, or start over with --no-resume"


def vocabulary_size(spec, *, out=None, init_from=None):
    """Return how many tokens a run has or will have, for a forecast made before its corpus is read.

    Args:
        spec: as for `build_tokens`.
        out: run directory; its tokens.txt, where it is there, is counted. None: there is no run yet.
        init_from: ticket whose tokens are counted where `spec` is init.
    Returns:
        (size, text): text says where the size comes from.
    Raises:
        BundleError: tokens.txt cannot be read.
        ConfigError: the ticket names no tokens.
    """
    path = Path(out or ".") / "tokens.txt"
    if out is not None and path.exists():
        size = len(Tokenizer.load(path))
        return size, f"{size} tokens in {path}"
    if spec == "init":
        record = read_json(Path(init_from) / "ticket.json")
        tokens = record.get("tokens") if isinstance(record, dict) else None
        if not isinstance(tokens, list):
            raise ConfigError(f"{init_from}: its ticket.json names no tokens", hint="name a level of a run")
        return len(tokens), f"{len(tokens)} tokens of {init_from}"
    if spec == "char":
        return _NOMINAL_CHARACTERS, f"{_NOMINAL_CHARACTERS} tokens, a nominal number: the corpus decides"
    kind, _, number = spec.partition(":")
    limit = " at most" if kind == "unigram" else ""
    return int(number), f"{number} tokens{limit} ({spec})"


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
            sentence_iterator=iter([_spaced(text) for text in texts]),
            model_writer=model,
            vocab_size=int(size),
            model_type=kind,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            unk_id=0,
            unk_piece=BLANK,
            # The default, NFKC, would spell other characters than the texts hold (a ligature as two letters).
            normalization_rule_name="identity",
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
    """Return the function text -> symbol ids of what `build_tokens` gave.

    Raises:
        ConfigError: the model is damaged, or spells other tokens.
    """
    if model is None:
        return tokenizer.encode
    sentencepiece = require_extra("sentencepiece", extra="train")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise ConfigError("bpe.model is no sentencepiece model", hint=_MODEL_HINT) from error
    pieces = tuple(processor.id_to_piece(index) for index in range(processor.get_piece_size()))
    if pieces != tokenizer.symbols:
        raise ConfigError("bpe.model spells other tokens than tokens.txt", hint=_MODEL_HINT)
    return lambda text: processor.encode(_spaced(text))


def _spaced(text):
    """Return a text whose white space is single blanks: sentencepiece would take any other kind for a character."""
    return " ".join(text.split())
