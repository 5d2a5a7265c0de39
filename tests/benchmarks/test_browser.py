"""The browser's benchmark: it sees a difference, looks for its reason, and runs from command line to result file."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from benchmarks import browser
from demo.web.vendor import installed_version, pinned_version, runtime_files
from runtime import Recognizer
from runtime.errors import LotteryError
from runtime.features import SAMPLE_RATE_HZ
from tests.tiny_bundle import speak, write_tiny_bundle
from tests.web.chromium import find_chromium
from tests.web.page import delay, token_differences


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("browser") / "tiny", has_int8=False)


@pytest.fixture
def corpus(tmp_path):
    """A corpus called an4 whose words are tones."""
    folder = tmp_path / "data" / "an4"
    folder.mkdir(parents=True)
    for split, texts in {"train": ["a"], "dev": ["cab"], "test": ["abc de", "e"]}.items():
        lines = []
        for number, text in enumerate(texts):
            samples = speak(text)
            soundfile.write(folder / f"{split}{number}.wav", samples, SAMPLE_RATE_HZ)
            duration = len(samples) / SAMPLE_RATE_HZ
            lines.append(json.dumps({"audio_filepath": f"{split}{number}.wav", "duration": duration, "text": text}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder.parent


def test_clips_are_spread_over_both_splits(corpus):
    assert [clip.text for clip in browser.choose_clips(corpus, count=3)] == ["abc de", "e", "cab"]
    assert [clip.text for clip in browser.choose_clips(corpus, count=1)] == ["abc de"]
    with pytest.raises(LotteryError, match="4 clips, the corpus has 3"):
        browser.choose_clips(corpus, count=4)


def test_another_token_is_counted_and_shown(bundle):
    recognizer = Recognizer(bundle, backend="onnxruntime")
    samples = speak("abc")
    ids = list(recognizer.transcribe(samples).ids)
    assert browser.compare(recognizer, samples, {"ids": ids, "text": "abc"}) == {"tokens": 3, "differences": 0}
    row = browser.compare(recognizer, samples, {"ids": [*ids, 6, 6], "text": "abcee"})
    assert (row["differences"], row["python"], row["page"]) == (2, "abc", "abcee")
    # the tones are clear: where another symbol could have stood, blank would have had to lose by far
    assert row["margin"] is None or row["margin"] > browser.NEAR_TIE


def test_a_near_tie_is_found():
    #                         blank  a    b    c
    probabilities = np.array([[0.9, 0.05, 0.03, 0.02], [0.1, 0.44, 0.43, 0.03], [0.9, 0.05, 0.03, 0.02]])
    logprobs = np.log(probabilities).astype(np.float32)
    assert browser.collapse(logprobs.argmax(axis=1), blank=0) == [1]
    assert browser.tie_behind(logprobs, [2], blank=0) == pytest.approx(np.log(0.44 / 0.43), abs=1e-6)
    assert browser.tie_behind(logprobs, [3], blank=0) is None


def test_collapse_keeps_a_symbol_on_both_sides_of_a_blank():
    assert browser.collapse(np.array([0, 1, 1, 0, 1, 2, 2, 0]), blank=0) == [1, 1, 2]


@pytest.mark.parametrize("lag", [-300, 0, 1234])
def test_a_clip_is_delayed_as_it_was_heard(lag):
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 4000).astype(np.float32)
    heard = np.zeros(6000, np.float32)
    kept = samples[max(0, -lag) :]
    heard[max(0, lag) : max(0, lag) + len(kept)] = kept
    noisy = heard + rng.normal(0, 0.01, 6000).astype(np.float32)
    assert np.array_equal(delay(samples, like=noisy), heard)


def test_token_differences():
    assert token_differences([1, 2, 3], [1, 3]) == 1
    assert token_differences([], [12]) == 1
    # symbols, not digits
    assert token_differences([12], [1, 2]) == 2


def row(differences, *, margin=None, **more):
    return {"tokens": 5, "differences": differences, "margin": margin, **more}


def test_the_summary_counts_what_nothing_explains():
    results = {
        "exact": {"fp32": [row(0), row(0)], "int8": [row(1, same_samples=row(1, margin=0.01)), row(0)]},
        "decoded": {"fp32": [row(2, margin=3.0, same_samples=row(0)), row(0)], "int8": [row(0), row(0)]},
        "microphone": [
            {"same_samples": row(0), "delayed_clip": row(1, margin=0.1), "clip_alone": row(3, margin=0.1)},
            {"same_samples": row(2), "delayed_clip": row(0), "clip_alone": row(1, margin=0.1)},
        ],
        "benchmark": {"int8": {"chunk_ms": {"p50": 1.5, "p95": 2.5}}},
    }
    assert browser.summarise(results) == {
        "browser_clips": 2,
        "browser_tokens": 20,
        "browser_token_differences": 1,
        "browser_most_differences_a_clip": 1,
        "browser_decoded_token_differences": 2,
        "browser_decoded_most_differences_a_clip": 2,
        "microphone_clips": 2,
        "microphone_tokens": 10,
        "microphone_differences_same_samples": 2,
        "microphone_most_differences_same_samples": 2,
        "microphone_differences_delayed_clip": 1,
        "microphone_most_differences_delayed_clip": 1,
        "microphone_differences_clip_alone": 4,
        "microphone_most_differences_clip_alone": 3,
        # the second of the microphone's: same sound, other tokens, no near tie
        "unexplained_clips": 1,
        "chunk_ms_p50_int8": 1.5,
        "chunk_ms_p95_int8": 2.5,
    }


def test_without_chromium(bundle, corpus, monkeypatch, capsys):
    monkeypatch.setattr(browser, "find_chromium", lambda: None)
    assert browser.main([str(bundle), "--data-dir", str(corpus)]) == 2
    assert "apt-get install chromium" in capsys.readouterr().err


def test_from_the_command_line_to_the_result(corpus, tmp_path, monkeypatch, capsys):
    # the recogniser that comes along has int8 alone
    bundle = write_tiny_bundle(tmp_path / "shipped", has_fp32=False)
    monkeypatch.setattr(browser, "shipped_bundle", lambda: bundle)
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if installed_version() != pinned_version():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed: apt-get install npm")
        try:
            runtime_files()
        except LotteryError as error:
            pytest.skip(f"onnxruntime-web cannot be installed: {error}")
    arguments = ["--data-dir", str(corpus), "--clips", "3", "--microphone-clips", "1", "--results", str(tmp_path)]
    assert browser.main(arguments) == 0
    written = json.loads((tmp_path / "browser.json").read_text())
    summary = written["summary"]
    assert summary["browser_clips"] == 3
    assert summary["browser_tokens"] == 10
    assert summary["browser_token_differences"] == 0
    assert summary["browser_decoded_token_differences"] == 0
    assert summary["microphone_tokens"] > 0
    assert summary["microphone_most_differences_same_samples"] <= 1
    assert summary["unexplained_clips"] == 0
    assert summary["chunk_ms_p50_int8"] > 0
    assert "chunk_ms_p50_fp32" not in summary
    assert list(written["exact"]) == ["int8"]
    assert written["onnxruntime_web"] == pinned_version()
    assert "Chrome" in written["browser"]
    assert "browser_token_differences: 0" in capsys.readouterr().out
