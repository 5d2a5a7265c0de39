"""The card of the shipped recogniser: its own sections replaced, everything else as the export wrote it."""

import shutil

import pytest

from benchmarks.shipped_card import DATA, complete_card, update_card
from lottery_train.evaluate import score_texts
from runtime.manifest import CARD_ROLE, Manifest
from runtime.shipped import shipped_bundle

CARD = """# en

A recogniser.

## Error rates

| split | WER |
| --- | --- |
| test | 9 % |

A note.

## Sizes

some

## Training data

Corpus x.

## Known limits

- One speaker at a time.

## How to run it

    lottery-transcribe en clip.wav
    lottery-listen en

With silence at its end.
"""


@pytest.fixture
def card():
    scores = {"an4": score_texts(["a b c d", "e"], ["a b c", "e"]), "fsdd": score_texts(["one"], ["one"])}
    return complete_card(CARD, scores=scores, rtf=0.0021, processor="a server")


def test_rates_data_and_limits_are_those_of_the_shipped_one(card):
    assert "| an4 | 20.0% | 0.0% to 25.0% | 2 | 5 |" in card
    assert "| fsdd | 0.0% |" in card
    assert "Real-time factor on one thread of a server: 0.0021." in card
    assert all(f"| {name} |" in card for name in DATA)
    assert "9 %" not in card
    assert "Corpus x." not in card


def test_the_rest_stays(card):
    assert card.startswith("# en\n\nA recogniser.\n\n## Error rates\n\n")
    assert "## Sizes\n\nsome\n\n## Training data\n\n" in card
    assert "easily taken" in card
    assert card.count("- One speaker at a time.") == 1
    assert card.endswith(
        "## How to run it\n\n    lottery-transcribe clip.wav\n    lottery-listen\n\nWith silence at its end.\n"
    )


def test_twice_is_once(card):
    scores = {"an4": score_texts(["a b c d", "e"], ["a b c", "e"]), "fsdd": score_texts(["one"], ["one"])}
    assert complete_card(card, scores=scores, rtf=0.0021, processor="a server") == card


def test_a_card_without_the_section_is_refused():
    with pytest.raises(ValueError, match="'Error rates'"):
        complete_card("# en\n", scores={}, rtf=0.0, processor="")


def test_the_manifest_knows_the_card_that_was_written(tmp_path):
    bundle = shutil.copytree(shipped_bundle(), tmp_path / "en")
    before = Manifest.load(bundle)
    scores = {"an4": score_texts(["a b c d", "e"], ["a b c", "e"])}
    update_card(bundle, scores=scores, rtf=0.0021, processor="a server")
    after = Manifest.load(bundle)
    assert "one thread of a server: 0.0021." in after.read(CARD_ROLE, bundle=bundle).decode()
    assert {role for role in after.files if after.files[role] != before.files[role]} == {CARD_ROLE}


def test_trust_stands_with_the_error_rates():
    scores = {"an4": score_texts(["a b"], ["a b"])}
    packs = ("an4", "fsdd", "coffee_commands")
    details = {
        "wer_by_gain_db": {"+0": 0.05, "-30": 0.06},
        "kept": {"an4": 0.97},
        "rejected": {"de": 0.99},
        "wer_of_answers": dict.fromkeys(packs, 0.07),
        "wer_of_kept": dict.fromkeys(packs, 0.04),
        "synthesisers": {"pico": {"letters": {"wer": 0.16, "kept": 0.94, "wer_of_kept": 0.15}}},
    }
    card = complete_card(CARD, scores=scores, rtf=0.0, processor="", trust=({"non_word_rate": 0.001}, details))
    for line in (
        "-30 dB 6.0%",
        "| an4: kept | 97.0% |",
        "| de: rejected or silent | 99.0% |",
        "| pico, letters: WER of what is heard; kept | 16.0%; 94% |",
    ):
        assert line in card
    assert "not recognised: an4 7.0%, fsdd 7.0%" in card
