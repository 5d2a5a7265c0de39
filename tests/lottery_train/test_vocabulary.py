"""The rule that closes a vocabulary."""

import pytest

from lottery_train.vocabulary import MAX_CLOSED_WORDS, describe_vocabulary, words_of


def test_words_are_distinct_and_sorted():
    assert words_of(["go  left", "left", ""]) == ["go", "left"]
    assert words_of([]) == []


@pytest.mark.parametrize(("num_unknown", "kind"), [(0, "closed"), (1, "closed"), (2, "open"), (100, "open")])
def test_it_is_closed_where_dev_says_almost_nothing_else(num_unknown, kind):
    # 150 words of dev: one unknown is 0.7 %, two are 1.3 %.
    dev = ["go left right"] * ((150 - num_unknown) // 3) + ["go"] * ((150 - num_unknown) % 3) + ["up"] * num_unknown
    found = describe_vocabulary(["go left", "right", ""], dev)
    assert found["kind"] == kind
    assert found["unknown_dev_share"] == pytest.approx(num_unknown / 150)
    assert (found["num_words"], found["words"]) == (3, ["go", "left", "right"])


def test_many_words_are_open_and_not_recorded():
    words = [f"w{number}" for number in range(MAX_CLOSED_WORDS + 1)]
    found = describe_vocabulary(words, words)
    assert (found["kind"], found["num_words"]) == ("open", MAX_CLOSED_WORDS + 1)
    assert "words" not in found
    assert describe_vocabulary(words[1:], words[1:])["kind"] == "closed"


def test_nothing_said_closes_nothing():
    assert describe_vocabulary([""], ["go"])["kind"] == "open"
    assert describe_vocabulary(["go"], [""])["kind"] == "open"
