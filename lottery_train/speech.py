"""What a run reads: the splits of its corpus as features, and how their texts are spelled."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lottery_train.corpora import check_characters, read_mix, read_negatives
from lottery_train.dataset import Dataset, Recipe, load_dataset
from lottery_train.errors import CorpusError
from lottery_train.start import ticket_tokens
from lottery_train.tokenization import build_tokens, encoder
from runtime.files import write_atomic
from runtime.tokenizer import Tokenizer

_NUM_SHOWN = 3


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
    used (too long to train on, characters outside the tokens, unreadable) are left out, counted and shown.

    Args:
        data: DataConfig.
        out: run directory; tokens.txt (and bpe.model) live there.
        data_dir: corpus directory, see `corpora.find_corpus`.
        init_from: ticket whose tokens are taken where `data.tokens` is init.
    Returns:
        Speech.
    Raises:
        CorpusError: no such corpus, or nothing in it can be used.
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
    splits = {}
    for split, (utterances, skipped) in manifests.items():
        usable, unspelled = check_characters(utterances, tokenizer=tokenizer)
        is_train = split == "train"
        if is_train:
            long = [u for u in usable if u.duration_s > data.max_utterance_s]
            usable = [u for u in usable if u.duration_s <= data.max_utterance_s]
            skipped = [*skipped, *(f"{u.origin}: {u.duration_s} s, longer than {data.max_utterance_s} s" for u in long)]
            negatives, unusable = read_negatives(data.negatives)
            usable, skipped = [*usable, *negatives], [*skipped, *unusable]
        if not usable:
            raise CorpusError(
                f"{data.corpus}, {split}: no usable utterance; the first skipped: {[*skipped, *unspelled][:1]}"
            )
        recipe = Recipe.for_training(data, seed=seed) if is_train else None
        splits[split] = load_dataset(usable, recipe=recipe, skipped=[*skipped, *unspelled], name=split)
        if is_first:
            _report_skipped(split, splits[split])
    model = model_path.read_bytes() if model_path.exists() else None
    return Speech(
        **splits,
        tokenizer=tokenizer,
        encode=encoder(tokenizer, model),
        characters=Tokenizer.from_texts(splits["train"].texts),
        max_utterance_s=data.max_utterance_s,
        negatives_share=data.negatives_share,
    )


def _report_skipped(split, dataset):
    skipped = dataset.skipped
    if skipped:
        print(f"{split}: {len(skipped)} of {len(dataset) + len(skipped)} utterances skipped:", file=sys.stderr)
        for reason in skipped[:_NUM_SHOWN]:
            print(f"  {reason}", file=sys.stderr)
        if len(skipped) > _NUM_SHOWN:
            print(f"  … and {len(skipped) - _NUM_SHOWN} more", file=sys.stderr)
