"""The rule that settles words, against a plain definition of it and against decoders that revise."""

import itertools

import numpy as np
import pytest

from runtime.recognizer import Recognizer, Result, Word
from runtime.stability import CLOSED_AFTER_S, StableText
from tests.tiny_bundle import speak, write_tiny_bundle


def result(text, *, step_s=1.0):
    """Return a Result whose words stand a second apart; `.` is a place without a word."""
    words = tuple(
        Word(text=word, start_s=place * step_s, end_s=(place + 0.8) * step_s, confidence=0.9)
        for place, word in enumerate(text.split())
        if word != "."
    )
    return Result(text=" ".join(word.text for word in words), words=words, ids=(), is_final=False)


def run(texts, *, silence_s=0.0):
    """Return [(text shown, words settled)] after each result."""
    stable = StableText()
    shown = [stable.update(result(text), silence_s=silence_s) for text in texts]
    return [(partial.text, partial.num_stable) for partial in shown]


def test_a_word_settles_when_it_stood_in_two_chunks_and_another_follows():
    assert run(["a", "ab", "ab c", "ab cd", "ab cd", "ab cd e", "ab cd e"]) == [
        ("a", 0),
        ("ab", 0),
        ("ab c", 0),
        ("ab cd", 1),
        ("ab cd", 1),
        ("ab cd e", 1),
        ("ab cd e", 2),
    ]


def test_the_newest_word_may_grow_for_ever_without_settling():
    texts = ["b" * length for length in range(1, 9)] + ["b" * 8] * 5
    assert [num for _, num in run(texts)] == [0] * len(texts)


def test_silence_closes_the_newest_word():
    assert run(["ab", "ab", "ab"], silence_s=CLOSED_AFTER_S) == [("ab", 0), ("ab", 1), ("ab", 1)]
    assert run(["ab", "ab", "ab"], silence_s=CLOSED_AFTER_S - 0.01)[-1] == ("ab", 0)


def test_a_revision_before_a_word_settles_is_shown_and_makes_what_follows_young_again():
    texts = ["new york x", "knew york x", "knew york x"]
    assert run(texts) == list(zip(texts, (0, 0, 2), strict=True))


def test_a_settled_word_stays_whatever_the_decoder_says_later():
    assert run(["new york x", "new york x", "knew york city", "gnu . city hall"]) == [
        ("new york x", 0),
        ("new york x", 2),
        ("new york city", 2),
        ("new york city hall", 2),
    ]


def test_a_word_that_appears_before_settled_ones_does_not_repeat_them():
    stable = StableText()
    for _ in range(2):
        shown = stable.update(result(". york x"))
    assert (shown.text, shown.num_stable) == ("york x", 1)
    assert stable.update(result("new york x")).text == "york x"


@pytest.mark.parametrize("seed", range(20))
def test_no_settled_word_ever_changes_under_any_revisions(seed):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice([".", "a", "b", "ab"], rng.integers(0, 6))) for _ in range(60)]
    stable = StableText()
    shown = [stable.update(result(text), silence_s=rng.choice([0.0, 1.0])) for text in texts]
    for before, after in itertools.pairwise(shown):
        assert after.num_stable >= before.num_stable
        assert after.words[: before.num_stable] == before.words[: before.num_stable]
        assert all(left.end_s <= right.start_s for left, right in itertools.pairwise(after.words))


def test_on_a_stream_settled_words_are_those_of_the_final_result(tmp_path):
    """A best-path decoder never takes a word back, so settling must not cost anything."""
    stream = Recognizer(write_tiny_bundle(tmp_path / "bundle")).stream()
    stable, samples = StableText(), speak("cab bad dead bee ace")
    shown = []
    for start in range(0, len(samples), 480):
        if stream.accept(samples[start : start + 480]):
            live = stream.result()
            shown.append(stable.update(live, silence_s=stream.silence_s))
            assert shown[-1].text == live.text
    final = stream.finish()
    assert shown[-1].num_stable >= 3
    for partial in shown:
        settled = partial.words[: partial.num_stable]
        assert [word.text for word in settled] == final.text.split()[: partial.num_stable]
