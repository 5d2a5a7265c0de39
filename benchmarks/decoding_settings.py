"""What decoders are tried with: log-probabilities heard once, what a corpus knows of its words, grids of settings."""

import itertools
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ngram import write_ngrams
from lottery_train.evaluate import score_texts
from runtime.beam import DEFAULT_BEAM, DEFAULT_MARGIN, BeamDecoder
from runtime.decoder import GreedyDecoder, GreedySearch
from runtime.grammar import Grammar
from runtime.hotwords import DEFAULT_BOOST, Hotword, Hotwords
from runtime.language_model import DEFAULT_WEIGHT, DEFAULT_WORD_BONUS, LanguageModel
from runtime.recognizer import Stream

BEAMS = (1, 2, 4, 8, 16, 32)
ORDERS = (2, 3, 4)
WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
BONUSES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
BOOSTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
MARGINS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
_WIDE_MARGIN = MARGINS[-1]
_FIRST_ORDER = 3
_RARE = 10


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A split as a bundle heard it: what decoders begin with.

    Args:
        tokenizer, blank: of the bundle.
        references: what was said, one text an utterance.
        utterances: for each the log-probabilities of its chunks, float32 (T, V).
    """

    tokenizer: object
    blank: int
    references: tuple[str, ...]
    utterances: tuple[tuple[np.ndarray, ...], ...]


class _Recorder(GreedySearch):
    """A search that keeps what it was given."""

    def __init__(self, *, blank):
        super().__init__(blank=blank)
        self.chunks = []

    def accept(self, logprobs_TV):
        self.chunks.append(np.array(logprobs_TV))
        super().accept(logprobs_TV)


def hear(recognizer, *, clips, references):
    """Run the model over clips (float32 (n,), 16 kHz), once: every decoder reads the same log-probabilities."""
    blank, heard = recognizer.session.geometry.blank, []
    for clip in clips:
        search = _Recorder(blank=blank)
        stream = Stream(recognizer.session, tokenizer=recognizer.tokenizer, search=search)
        stream.accept(clip)
        stream.finish()
        heard.append(tuple(search.chunks))
    return Heard(tokenizer=recognizer.tokenizer, blank=blank, references=tuple(references), utterances=tuple(heard))


def decode(heard, *, decoder):
    """Return (texts, milliseconds of processor time of each chunk)."""
    start_search = decoder.prepare(heard.tokenizer, blank=heard.blank)
    texts, chunk_ms = [], []
    for chunks in heard.utterances:
        search = start_search()
        for chunk in chunks:
            start_s = time.thread_time()
            search.accept(chunk)
            search.best()
            chunk_ms.append(1e3 * (time.thread_time() - start_s))
        texts.append(heard.tokenizer.decode(search.best(is_final=True).ids))
    return texts, chunk_ms


def try_out(heards, *, decoder, rare_words):
    """Return how a decoder does on all bundles together: `wer`, `rare_f1`, `chunk_ms`."""
    errors = words = said = found = false = 0
    times = []
    for heard in heards:
        texts, chunk_ms = decode(heard, decoder=decoder)
        times += chunk_ms
        score = score_texts(list(heard.references), texts)
        errors, words = errors + sum(score.word_errors), words + score.num_words
        rare = count_rare(texts, references=heard.references, rare_words=rare_words)
        said, found, false = said + rare["said"], found + rare["found"], false + rare["false"]
    f1 = 2 * found / (said + found + false) if found else 0.0
    return {"wer": errors / words, "rare_f1": f1, "chunk_ms": float(np.mean(times))}


def count_rare(texts, *, references, rare_words):
    """Return how many of these words were said, how many of them found, and how many imagined."""
    said = found = false = 0
    for text, reference in zip(texts, references, strict=True):
        heard, expected = (Counter(word for word in words.split() if word in rare_words) for words in (text, reference))
        said, found = said + expected.total(), found + (heard & expected).total()
        false += (heard - expected).total()
    return {"said": said, "found": found, "false": false}


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the training transcripts give to decoders.

    Args:
        models: {order: path of an ARPA file}.
        rare_words: words that they hold ten times at most.
        words: all of their words.
    """

    models: dict[int, Path]
    rare_words: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, texts, *, folder):
        """Count the words of texts, and write the language models into a folder."""
        models = {order: Path(folder) / f"{order}.arpa" for order in ORDERS}
        for order, path in models.items():
            write_ngrams(path, texts=texts, order=order)
        counts = Counter(word for text in texts for word in text.split())
        rare = tuple(sorted(word for word, count in counts.items() if count <= _RARE))
        return cls(models=models, rare_words=rare, words=tuple(sorted(counts)))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be chosen; the defaults are the product's.

    Args:
        beam, margin, weight, word_bonus, boost: see BeamDecoder, LanguageModel, Hotword.
        order: of the n-grams.
    """

    beam: int = DEFAULT_BEAM
    margin: float = DEFAULT_MARGIN
    order: int = _FIRST_ORDER
    weight: float = DEFAULT_WEIGHT
    word_bonus: float = DEFAULT_WORD_BONUS
    boost: float = DEFAULT_BOOST

    def decoders(self, material):
        """Return {name: Decoder}, the best path first."""
        hotwords = Hotwords([Hotword(word, self.boost) for word in material.rare_words])
        model = self.language_model(material)
        scorers = {
            "beam": (),
            "beam + language model": (model,),
            "beam + hotwords": (hotwords,),
            "beam + grammar": (Grammar(material.words),),
            "beam + language model + hotwords": (model, hotwords),
        }
        beams = {name: BeamDecoder(beam=self.beam, margin=self.margin, scorers=each) for name, each in scorers.items()}
        return {"greedy": GreedyDecoder(), **beams}

    def language_model(self, material):
        """Return the LanguageModel of these settings."""
        return LanguageModel(material.models[self.order], weight=self.weight, word_bonus=self.word_bonus)


def tune(heards, *, material, say):
    """Choose settings on what bundles heard of a split.

    Args:
        heards: Heard, one a bundle.
        material: Material.
        say: called with a line of progress.
    Returns:
        (Settings, {name of a grid: list of dicts, each with its settings and what try_out found}).
    """
    grids = {}

    def search(name, cells, decoder_of, *, rank=lambda cell: cell["wer"]):
        say(f"{name}: {len(cells)} settings on {len(heards)} bundles")
        grids[name] = [
            {**cell, **try_out(heards, decoder=decoder_of(**cell), rare_words=material.rare_words)} for cell in cells
        ]
        # Of equals the first: cells begin with the cheapest.
        return min(grids[name], key=rank)

    def with_model(*, beam=DEFAULT_BEAM, margin=_WIDE_MARGIN, **cell):
        return BeamDecoder(beam=beam, margin=margin, scorers=(Settings(**cell).language_model(material),))

    def with_hotwords(*, boost, margin=_WIDE_MARGIN):
        hotwords = Hotwords([Hotword(word, boost) for word in material.rare_words])
        return BeamDecoder(margin=margin, scorers=(hotwords,))

    def with_grammar(*, margin):
        return BeamDecoder(margin=margin, scorers=(Grammar(material.words),))

    best = search(
        "language model",
        [{"weight": weight, "word_bonus": bonus} for weight, bonus in itertools.product(WEIGHTS, BONUSES)],
        with_model,
    )
    model = {name: best[name] for name in ("weight", "word_bonus")}
    orders = [{**model, "order": order} for order in ORDERS]
    model["order"] = search("order of the language model", orders, with_model)["order"]
    search("beam alone", [{"beam": beam, "margin": _WIDE_MARGIN} for beam in BEAMS], BeamDecoder)
    beam = search("beam, language model", [{**model, "beam": beam} for beam in BEAMS], with_model)["beam"]
    boosts = [{"boost": boost} for boost in BOOSTS]
    boost = search("boost of hotwords", boosts, with_hotwords, rank=lambda cell: -cell["rare_f1"])["boost"]
    margins = []
    for name, others, decoder_of in (
        ("margin alone", {}, BeamDecoder),
        ("margin, language model", model, with_model),
        ("margin, hotwords", {"boost": boost}, with_hotwords),
        ("margin, grammar", {}, with_grammar),
    ):
        search(name, [{**others, "margin": margin} for margin in MARGINS], decoder_of)
        margins.append(narrowest_margin(grids[name]))
    return Settings(beam=beam, margin=max(margins), boost=boost, **model), grids


def narrowest_margin(cells):
    """Return the smallest margin from which on the errors are those of the largest one."""
    cells = sorted(cells, key=lambda cell: -cell["margin"])
    same = itertools.takewhile(lambda cell: cell["wer"] == cells[0]["wer"], cells)
    return min(cell["margin"] for cell in same)
