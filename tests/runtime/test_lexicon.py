"""The lexicon: no other word, the best path where it is one, and the same whatever the cuts."""

import dataclasses

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.decoder import GreedyDecoder
from runtime.errors import BundleError
from runtime.grammar import Grammar
from runtime.lexicon import LexiconDecoder, read_words
from runtime.manifest import FileEntry, Manifest
from runtime.recognizer import Recognizer
from runtime.tokenizer import WORD_START, Tokenizer
from tests.tiny_bundle import speak, write_tiny_bundle

# Word pieces and characters in one: several ways to spell a word.
PIECES = Tokenizer(("<blk>", "▁a", "▁b", "b", "a", "▁ab", "c", "▁c", "▁", "bc"))
WORDS = ("ab", "abc", "ba", "c", "cab", "b")


def logprobs(symbols, *, tokenizer=PIECES, sure=0.8, seed=0, gap=2):
    """Return float32 (T, V): each symbol for two frames, blanks between, and some doubt."""
    rng = np.random.default_rng(seed)
    rows = []
    for symbol in symbols:
        for index in [symbol] * 2 + [0] * gap:
            row = rng.dirichlet(np.ones(len(tokenizer))) * (1 - sure)
            row[index] += sure
            rows.append(row)
    return np.log(np.array(rows)).astype(np.float32)


def drawn(seed, *, num_frames=60, tokenizer=PIECES):
    """Return float32 (T, V) of a model that hears anything: mostly blanks and sharp symbols."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2.5, (num_frames, len(tokenizer)))
    scores[:, 0] += 1.5
    scores[rng.random(num_frames) < 0.3, 0] += 12
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def search(decoder, rows, *, cuts=(), tokenizer=PIECES):
    found = decoder.prepare(tokenizer, blank=0)()
    for part in np.split(rows, list(cuts)):
        found.accept(part)
    return found


def text(found, *, tokenizer=PIECES, is_final=True):
    return tokenizer.decode(found.best(is_final=is_final).ids)


def reading(found):
    """Return the final Symbols, whatever was told before."""
    return dataclasses.replace(found.best(is_final=True), num_same=0)


def ids(*symbols):
    return [PIECES.symbols.index(symbol) for symbol in symbols]


@pytest.mark.parametrize("seed", range(16))
def test_no_word_is_outside_and_cuts_do_not_matter(seed):
    rows, decoder = drawn(seed), LexiconDecoder(WORDS)
    whole = search(decoder, rows)
    assert set(text(whole).split()) <= set(WORDS)
    rng = np.random.default_rng(seed)
    for cuts in (range(1, 60), sorted(rng.integers(0, 60, 5))):
        cut = search(decoder, rows, cuts=cuts)
        assert reading(cut) == reading(whole)
        assert cut.num_trailing_blanks == whole.num_trailing_blanks
    frames = whole.best(is_final=True).frames
    assert list(frames) == sorted(frames)


@pytest.mark.parametrize("seed", range(16))
def test_a_best_path_of_listed_words_is_what_greedy_says(seed):
    rows = drawn(seed)
    greedy = search(GreedyDecoder(), rows).best(is_final=True)
    words = tuple(PIECES.decode(greedy.ids).split()) or ("x",)
    assert search(LexiconDecoder(words), rows).best(is_final=True).ids == tuple(
        # A mark that no letter follows spells nothing.
        symbol
        for place, symbol in enumerate(greedy.ids)
        if PIECES.symbols[symbol] != WORD_START or is_followed(greedy.ids, place)
    )


def is_followed(symbols, place):
    """Whether a letter that is no beginning of a word stands behind a symbol."""
    return place + 1 < len(symbols) and not PIECES.symbols[symbols[place + 1]].startswith(WORD_START)


@pytest.mark.parametrize("seed", range(6))
def test_a_single_other_word_is_read_as_a_grammar_reads_it(seed):
    rows = logprobs(ids("▁a", "c", "a"), sure=0.6, seed=seed)
    assert text(search(GreedyDecoder(), rows)) == "aca"
    expected = reading(search(BeamDecoder(scorers=(Grammar(WORDS),)), rows))
    found = reading(search(LexiconDecoder(WORDS), rows))
    assert found == expected
    assert found.ids


def test_its_neighbours_stay_and_times_go_on():
    good = logprobs(ids("▁ab"), sure=0.95)
    rows = np.concatenate([good, logprobs(ids("▁c", "bc"), sure=0.9, seed=3), logprobs(ids("▁b", "a"), sure=0.95)])
    found = search(LexiconDecoder(WORDS), rows)
    first, *_, last = text(found).split()
    assert (first, last) == ("ab", "ba")
    best = found.best(is_final=True)
    greedy = search(GreedyDecoder(), rows).best()
    assert best.frames[0] == greedy.frames[0]
    assert best.frames[-2:] == greedy.frames[-2:]
    assert best.logprobs[-2:] == greedy.logprobs[-2:]


def test_every_way_to_spell_a_word_counts():
    for spelling in (("▁ab", "c"), ("▁a", "bc"), ("▁a", "b", "c"), ("▁", "a", "bc")):
        rows = logprobs(ids(*spelling), sure=0.9)
        assert search(LexiconDecoder(("abc",)), rows).best().ids == tuple(ids(*spelling))
    # No listed word is spelled by the best path; the search finds one by other pieces.
    rows = logprobs(ids("▁", "a", "c"), sure=0.5, seed=1)
    assert text(search(LexiconDecoder(("abc",)), rows)) in ("abc", "")


def test_a_growing_word_is_not_shown_before_it_is_one():
    decoder = LexiconDecoder(("cab", "b"))
    found = decoder.prepare(PIECES, blank=0)()
    shown = []
    for symbol in ids("▁b", "▁c", "a", "b"):
        found.accept(logprobs([symbol], sure=0.97))
        shown.append((text(found, is_final=False), found.has_symbols))
    assert shown == [("b", True), ("b", True), ("b", True), ("b cab", True)]
    found = decoder.prepare(PIECES, blank=0)()
    found.accept(logprobs(ids("▁c", "c"), sure=0.97))
    assert (text(found, is_final=False), found.has_symbols) == ("", False)


def test_a_committed_segment_is_forgotten_and_the_rest_goes_on():
    rows = logprobs(ids("▁ab", "▁c", "▁b", "a"), sure=0.95)
    found = search(LexiconDecoder(WORDS), rows)
    symbols = found.best()
    words = PIECES.words(symbols.ids)
    cut = found.boundary(words[-1].first)
    found.commit(cut)
    assert found.best().ids == symbols.ids[cut:]
    assert found.best().frames == symbols.frames[cut:]
    found.accept(logprobs(ids("▁cab"[:2]), sure=0.95))
    assert text(found) == "ba c"
    found.commit()
    assert found.best(is_final=True).ids == ()
    assert not found.has_symbols
    found.accept(logprobs(ids("▁b"), sure=0.95))
    assert text(found) == "b"


@pytest.mark.parametrize("seed", range(8))
def test_what_stays_is_told_as_the_same(seed):
    rows, found = drawn(seed), LexiconDecoder(WORDS).prepare(PIECES, blank=0)()
    before = found.best()
    for part in np.split(rows, range(3, 60, 3)):
        found.accept(part)
        now = found.best()
        assert now.ids[: now.num_same] == before.ids[: now.num_same]
        assert now.frames[: now.num_same] == before.frames[: now.num_same]
        assert now.num_same <= len(before.ids)
        before = now
    assert before.num_same > 0 or len(PIECES.words(before.ids)) < 2


def test_a_long_silence_and_a_long_noise_keep_memory_bounded():
    found = LexiconDecoder(WORDS).prepare(PIECES, blank=0)()
    silence = np.log(np.array([[0.999] + [0.001 / 9] * 9], np.float32))
    noise = logprobs(ids("c", "b", "a"), sure=0.9)
    found.accept(logprobs(ids("▁ab"), sure=0.95))
    found.accept(np.tile(silence, (5000, 1)))
    assert len(found._rows) < 20
    found.accept(np.tile(noise, (300, 1)))
    assert len(found._rows) <= 500
    assert set(text(found).split()) <= set(WORDS)


@pytest.fixture
def closed(tmp_path):
    """A tiny bundle whose vocabulary is closed."""
    folder = write_tiny_bundle(tmp_path / "closed")
    (folder / "words.txt").write_text("cab\nbad\nace\n")
    manifest = Manifest.load(folder)
    files = manifest.files | {"words": FileEntry.of("words.txt", bundle=folder)}
    dataclasses.replace(manifest, files=files, vocabulary="closed").write(folder)
    return folder


def test_a_closed_bundle_uses_its_words_by_default(closed, tmp_path):
    samples = speak("cab bed ace")
    found = Recognizer(closed).transcribe(samples)
    assert [word.text for word in found.words][::2] == ["cab", "ace"]
    assert set(found.text.split()) <= {"cab", "bad", "ace"}
    assert Recognizer(closed, decoder=GreedyDecoder()).transcribe(samples).text == "cab bed ace"
    assert Recognizer(write_tiny_bundle(tmp_path / "open")).transcribe(samples).text == "cab bed ace"
    # What the list forces is less sure than what was said.
    said = Recognizer(closed).transcribe(speak("cab bad ace"))
    assert said.text == "cab bad ace"
    assert found.words[1].confidence < said.words[1].confidence


def test_pushes_do_not_matter(closed):
    recognizer, samples = Recognizer(closed), speak("cab bed ace dab")
    whole = recognizer.transcribe(samples)
    for size in (160, 1777):
        stream = recognizer.stream()
        for start in range(0, len(samples), size):
            stream.accept(samples[start : start + size])
        assert stream.finish() == whole


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "0 words"),
        (b"cab\n\nbad\n", ":2: '' is no word"),
        (b"cab bad\n", ":1: 'cab bad' is no word"),
        (b"cab\n\x1b[2J\n", ":2: "),
        ("▁cab\n".encode(), ":1: "),
        (b"\xff\n", "cannot read"),
        (b"x" * 300, ":1: "),
        (b"a\n" * 20_001, "20001 words"),
    ],
)
def test_hostile_words_are_named(content, complaint):
    with pytest.raises(BundleError) as caught:
        read_words(content, source="words.txt")
    assert complaint in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_closed_vocabulary_needs_its_file(closed):
    value = Manifest.load(closed).to_json()
    for change, complaint in (({"vocabulary": "half"}, "'half'"), ({"files": {}}, "tokens")):
        with pytest.raises(BundleError, match=complaint):
            Manifest.from_json(value | change, source="manifest.json")
    del value["files"]["words"]
    with pytest.raises(BundleError, match="has no 'words'"):
        Manifest.from_json(value, source="manifest.json")
    (closed / "words.txt").write_text("cab\nbed\nace\n")
    with pytest.raises(BundleError, match="altered"):
        Recognizer(closed)
