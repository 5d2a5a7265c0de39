"""What a run reads: the splits of its corpus as features, and how their texts are spelled."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lottery_train.alignment import keep_alignable
from lottery_train.corpora import check_characters, read_mix, read_negatives
from lottery_train.dataset import Dataset, Recipe, load_dataset
from lottery_train.errors import ConfigError, CorpusError
from lottery_train.skipped import SkippedReport
from lottery_train.start import ticket_tokens
from lottery_train.tokenization import build_tokens, encoder
from runtime.files import write_atomic
from runtime.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Speech:
    """The splits of a corpus.

    Args:
        train, dev, test: Dataset.
        tokenizer: Tokenizer.
        encode: text -> symbol ids.
        characters: Tokenizer of the training texts' characters, for the character loss.
        max_utterance_s: longest training example.
        negatives_share: largest share of utterances without text in the audio of an epoch.
    """

    train: Dataset
    dev: Dataset
    test: Dataset
    tokenizer: Tokenizer
    encode: Callable[[str], list[int]]
    characters: Tokenizer
    max_utterance_s: float
    negatives_share: float


def prepare_speech(data, *, out, seed, data_dir=None, is_first=True, init_from=None):
    """Find a corpus, settle its tokens, and compute or find its features.

    The tokens are settled once, in `out`: a resumed run, and a corpus that grew, keep them. Utterances that cannot be
    used (too long to train on, characters outside the tokens, unreadable, a text that training cannot align) are left
    out, counted and shown; all of them are listed in `out`/skipped.txt.

    Args:
        data: DataConfig.
        out: run directory; tokens.txt (and bpe.model) live there.
        data_dir: corpus directory, see `corpora.find_corpus`.
        init_from: ticket whose tokens are taken where `data.tokens` is init.
    Returns:
        Speech.
    Raises:
        CorpusError: no such corpus, or nothing in it can be used.
        ConfigError: the run's bpe.model is missing or damaged.
    """
    manifests = read_mix(data.corpus, data_dir=data_dir)
    tokens_path, model_path = Path(out) / "tokens.txt", Path(out) / "bpe.model"
    if not tokens_path.exists() and is_first:
        if data.tokens == "init":
            tokenizer, model = ticket_tokens(init_from)
        else:
            tokenizer, model = build_tokens([utterance.text for utterance in manifests["train"][0]], spec=data.tokens)
        if model is not None:
            write_atomic(model_path, model)
        tokenizer.save(tokens_path)
    tokenizer = Tokenizer.load(tokens_path)
    encode = encoder(tokenizer, _read_pieces(model_path, tokenizer=tokenizer, spec=data.tokens))
    splits, report = {}, SkippedReport(out, is_shown=is_first)
    for split, (utterances, skipped) in manifests.items():
        is_train = split == "train"
        usable, left_out = _choose(utterances, tokenizer=tokenizer, max_s=data.max_utterance_s if is_train else None)
        negatives, unusable = read_negatives(data.negatives) if is_train else ([], [])
        usable, skipped = [*usable, *negatives], [*map(str, skipped), *left_out, *map(str, unusable)]
        if not usable:
            report.add(f"{split}: {len(skipped)} of {len(skipped)} utterances skipped:", skipped)
            report.write()
            raise CorpusError(f"{data.corpus}, {split}: no usable utterance; the first skipped: {skipped[0]}")
        recipe = Recipe.for_training(data, seed=seed) if is_train else None
        dataset = load_dataset(usable, recipe=recipe, skipped=skipped, name=split)
        found = keep_alignable(dataset, encode=encode)
        # What is measured on is not chosen by what a model can do: there such texts count as errors.
        splits[split] = found.dataset if is_train else dataset
        _report(report, split, found, dataset=splits[split])
        if not len(splits[split]):
            report.write()
            raise CorpusError(
                f"{data.corpus}, {split}: no text fits its recording; the first: {found.skipped[0]}",
                hint="see whether texts and recordings belong together",
            )
    report.write()
    return Speech(
        **splits,
        tokenizer=tokenizer,
        encode=encode,
        characters=Tokenizer.from_texts(splits["train"].texts),
        max_utterance_s=data.max_utterance_s,
        negatives_share=data.negatives_share,
    )


def _choose(utterances, *, tokenizer, max_s):
    """Return (usable, left out): utterances that the tokens can spell, no longer than `max_s` (None: of any length)."""
    spelled, unspelled = check_characters(utterances, tokenizer=tokenizer)
    limit = math.inf if max_s is None else max_s
    reasons = [f"{u.origin}: {u.duration_s} s, longer than {limit} s" for u in spelled if u.duration_s > limit]
    return [u for u in spelled if u.duration_s <= limit], [*map(str, unspelled), *reasons]


def _report(report, split, found, *, dataset):
    """Report what was left out of a split, and what cannot be spelled in all of its copies, or at all."""
    num_utterances = len(dataset) + len(dataset.skipped)
    report.add(f"{split}: {len(dataset.skipped)} of {num_utterances} utterances skipped:", dataset.skipped)
    if split != "train":
        scored = [f"{line}; it is scored" for line in found.skipped]
        report.add(f"{split}: {len(scored)} of {num_utterances} texts are too long for their recordings:", scored)
    report.add(
        f"{split}: {len(found.shortened)} texts are too long for faster copies of their recordings:", found.shortened
    )


def _read_pieces(path, *, tokenizer, spec):
    """Return the sentencepiece model of a run, None where its tokens are characters."""
    if spec == "char" or spec == "init" and all(len(symbol) == 1 for symbol in tokenizer.symbols[1:]):
        return None
    if not path.is_file():
        hint = "restore the file, or start over with --no-resume"
        raise ConfigError(f"{path}: missing, the tokens of this run are {spec}", hint=hint)
    return path.read_bytes()
