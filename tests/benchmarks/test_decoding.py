"""The decoding benchmark: what it counts, what it chooses, and the whole of it on a bundle whose words are tones."""

import json

import pytest
import soundfile

from benchmarks import decoding, decoding_settings
from benchmarks.decoding import compare
from benchmarks.decoding_settings import count_rare, decode, hear, narrowest_margin, try_out
from lottery_train.evaluate import pool_scores, score_texts
from runtime.beam import BeamDecoder
from runtime.decoder import GreedyDecoder
from runtime.files import read_json
from runtime.grammar import Grammar
from runtime.recognizer import Recognizer
from tests.tiny_bundle import speak, write_tiny_bundle

SAID = {"train": ["cab bad", "bad cab", "dead"], "dev": ["cab bad", "bee"], "test": ["dead cab", "bad"]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("decoding") / "bundle")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "an4"
    folder.mkdir()
    for split, texts in SAID.items():
        lines = []
        for number, text in enumerate(texts):
            name = f"{split}_{number}.wav"
            soundfile.write(folder / name, speak(text), 16000, subtype="FLOAT")
            entry = {"audio_filepath": name, "duration": len(speak(text)) / 16000, "text": text}
            lines.append(json.dumps(entry) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def heard(bundle):
    clips = [speak(text) for text in ("cab bad", "dead bee")]
    # The second reference has a word that is not said.
    return hear(Recognizer(bundle), clips=clips, references=["cab bad", "dead ace"])


def test_what_was_heard_once_decodes_to_what_the_recognizer_says(bundle, heard):
    texts, chunk_ms = decode(heard, decoder=GreedyDecoder())
    assert texts == ["cab bad", "dead bee"]
    assert len(chunk_ms) == sum(map(len, heard.utterances))
    grammar = BeamDecoder(scorers=(Grammar(["cab", "bad"]),))
    expected = Recognizer(bundle, decoder=grammar).transcribe(speak("cab bad")).text
    assert decode(heard, decoder=grammar)[0][0] == expected


def test_rare_words_are_said_found_and_imagined():
    texts, references = ["go may stop", "may may", ""], ["go may", "may june", "june"]
    assert count_rare(texts, references=references, rare_words=("may", "june", "stop")) == {
        "said": 4,
        "found": 2,
        "false": 2,
    }
    assert count_rare([], references=[], rare_words=("may",)) == {"said": 0, "found": 0, "false": 0}


def test_bundles_are_tried_together(heard):
    found = try_out([heard, heard], decoder=GreedyDecoder(), rare_words=("ace", "bad"))
    assert found["wer"] == 1 / 4
    assert found["rare_f1"] == pytest.approx(2 * 1 / (2 + 1))


def test_a_pool_counts_the_words_of_all():
    references = ["a b", "c"]
    scores = [score_texts(references, texts) for texts in (["a b", "c"], ["a x", "d"], ["a b", "d"])]
    pooled = pool_scores(scores)
    assert pooled.wer == pytest.approx(3 / 9)
    assert pooled.word_errors == (1, 2)
    assert pooled.wer_interval[0] <= pooled.wer <= pooled.wer_interval[1]


def test_rows_stand_beside_the_best_path(heard):
    decoders = {"greedy": GreedyDecoder(), "silence": BeamDecoder(scorers=(Grammar(["ccc"]),))}
    rows, scores = compare([heard, heard], names=["a", "b"], decoders=decoders, rare_words=("bee",))
    assert [(row["bundle"], row["decoder"]) for row in rows] == [
        (bundle, decoder) for bundle in ("a", "b", decoding.TOGETHER) for decoder in decoders
    ]
    assert all(row["wer"] == 1 / 4 for row in rows if row["decoder"] == "greedy")
    worse = [row for row in rows if row["decoder"] == "silence"]
    assert all(row["minus_greedy"] == pytest.approx(row["wer"] - 1 / 4) for row in worse)
    assert all(row["minus_greedy"] > 0 for row in worse)
    assert all(low <= row["minus_greedy"] <= high for row in worse for low, high in [row["minus_greedy_interval"]])
    assert rows[-1]["rare_words"] == {"said": 0, "found": 0, "false": 0}
    assert scores["greedy"].wer == 1 / 4


def test_the_margin_is_the_narrowest_that_changes_nothing():
    wers = {2.0: 0.1, 3.0: 0.2, 5.0: 0.1, 7.0: 0.1}
    assert narrowest_margin([{"margin": margin, "wer": wer} for margin, wer in wers.items()]) == 5.0
    assert narrowest_margin([{"margin": 7.0, "wer": 0.1}]) == 7.0


def test_the_whole_benchmark(bundle, corpus, tmp_path, monkeypatch, capsys):
    pytest.importorskip("kenlm", reason="the package of the extra `lm` is not installed")
    for name, grid in (
        ("WEIGHTS", (0.2, 0.5)),
        ("BONUSES", (1.0,)),
        ("ORDERS", (3,)),
        ("BEAMS", (2, 4)),
        ("BOOSTS", (0.2,)),
        ("MARGINS", (5.0, 10.0)),
    ):
        monkeypatch.setattr(decoding_settings, name, grid)
    assert decoding.main([str(bundle), "--data-dir", str(corpus), "--results", str(tmp_path)]) == 0
    result = read_json(tmp_path / "decoding.json")
    # The tones are unmistakable: nothing is better than the cheapest.
    assert result["chosen"] == {
        "beam": 2, "margin": 5.0, "order": 3, "weight": 0.2, "word_bonus": 1.0, "boost": 0.2,
    }  # fmt: skip
    assert result["summary"]["greedy_test_wer"] == result["summary"]["beam_language_model_test_wer"] == 0
    assert {(row["split"], row["settings"]) for row in result["rows"]} == {
        (split, settings) for split in ("dev", "test") for settings in ("a priori", "chosen")
    }
    assert len(result["tuning"]["language model"]) == 2
    assert "beam + grammar" in capsys.readouterr().out
