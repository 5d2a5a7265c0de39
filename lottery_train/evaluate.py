"""Word and character error rate, with a bootstrap interval over utterances."""

from dataclasses import asdict, dataclass, replace

import jiwer
import numpy as np
import torch

from lottery_train.batching import collate, pack
from runtime.word_errors import bootstrap


@dataclass(frozen=True, kw_only=True)
class Score:
    """Error rates of a split, as fractions.

    Args:
        wer, cer: errors over reference words, characters.
        wer_interval: 95 % percentile bootstrap over utterances.
        loss: mean loss a symbol.
        num_utterances, num_words: size of the split.
        word_errors, word_counts: of every utterance, in the split's order: what paired comparisons need.
    """

    wer: float
    wer_interval: tuple[float, float]
    cer: float
    loss: float
    num_utterances: int
    num_words: int
    word_errors: tuple[int, ...]
    word_counts: tuple[int, ...]

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self)


def score_texts(references, hypotheses, *, loss=0.0, seed=0):
    """Score recognised texts against references: lists of str of equal length."""
    errors, counts = [], []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        words = jiwer.process_words(reference, hypothesis)
        errors.append(words.substitutions + words.deletions + words.insertions)
        counts.append(words.hits + words.substitutions + words.deletions)
    errors, counts = np.array(errors), np.array(counts)
    wer, low, high = bootstrap(errors, counts, seed=seed)
    return Score(
        wer=wer,
        wer_interval=(low, high),
        cer=float(jiwer.cer(references, hypotheses)),
        loss=loss,
        num_utterances=len(references),
        num_words=int(counts.sum()),
        word_errors=tuple(errors.tolist()),
        word_counts=tuple(counts.tolist()),
    )


def paired_difference(first, second, *, seed=0):
    """Return (difference, low, high) of WER second - first, with a paired 95 % bootstrap over utterances."""
    errors = np.array(second.word_errors) - np.array(first.word_errors)
    return bootstrap(errors, np.array(first.word_counts), seed=seed)


def pool_scores(scores):
    """Return the Score of several models on the same utterances, the first one's but for words: `wer` and its interval.

    One model alone may differ by chance.
    """
    errors, words = (
        tuple(map(sum, zip(*(getattr(score, name) for score in scores), strict=True)))
        for name in ("word_errors", "word_counts")
    )
    pooled = replace(scores[0], word_errors=errors, word_counts=words, num_words=sum(words))
    wer, low, high = bootstrap(np.array(errors), np.array(words))
    return replace(pooled, wer=wer, wer_interval=(low, high))


@torch.no_grad()
def recognise(model, dataset, *, tokenizer, encode, chunk, batch_s=60.0, device="cpu"):
    """Recognise a split with whole utterances, chunk by chunk as a stream would.

    Every chunk that holds a frame of the utterance or of its tail padding is decoded, as the runtime does.

    Returns:
        (texts, loss): one str for each utterance in order, and the mean loss a symbol.
    """
    was_training = model.training
    model.eval()
    by_length = np.argsort(dataset.num_frames(0), kind="stable")
    sizes = [int(dataset.num_frames(0)[place]) for place in by_length]
    batches = pack([((int(place), 0),) for place in by_length], sizes, batch_s=batch_s)
    texts, loss, symbols = [""] * len(dataset), 0.0, 0
    for examples in batches:
        batch = collate(dataset, examples, encode=encode, chunk=chunk).to(device)
        outputs, _ = model.outputs(batch)
        losses = model.losses(outputs, batch)
        loss, symbols = loss + losses.sum().item(), symbols + batch.targets.lengths.sum().item()
        for ((place, _),), ids in zip(examples, model.decode(outputs, batch), strict=True):
            texts[place] = tokenizer.decode(ids)
    model.train(was_training)
    return texts, loss / max(symbols, 1)


def evaluate(model, dataset, *, tokenizer, encode, chunk, device="cpu"):
    """Recognise a split and score it: `Score`."""
    texts, loss = recognise(model, dataset, tokenizer=tokenizer, encode=encode, chunk=chunk, device=device)
    return score_texts(dataset.texts, texts, loss=loss)
