"""The live benchmark: what it measures of a bundle whose words are tones, and how a stopped run goes on."""

import json

import numpy as np
import pytest
import soundfile

from benchmarks import live
from runtime.errors import LotteryError
from runtime.files import read_json
from tests.tiny_bundle import speak, write_tiny_bundle

IDLE = {"idle_cpu_percent": 0.8, "idle_cpu_percent_without_gate": 1.6, "seconds": 60.0}
SOAK = {
    "audio_s": 3600.0, "speed": 1.0, "lines": 750, "wrong_lines": 0, "dropped_samples": 480, "rss_first_mb": 60.0,
    "rss_last_mb": 60.25, "rss_growth_mb": 0.25, "latency_first_ms": 300.0, "latency_last_ms": 303.0,
    "latency_ratio": 1.01, "work_first_ms": 12.0, "work_last_ms": 12.5,
    "timeline": [{"heard_s": 60.0 * minute, "latency_ms": 300.0, "rss_mb": 60.0} for minute in range(1, 61)],
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("live") / "bundle")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a corpus directory; its test split holds a word that is not said in its audio."""
    folder = tmp_path_factory.mktemp("corpus") / "an4"
    folder.mkdir()
    for split, said, text in (("train", "cab", "cab"), ("dev", "bad", "bad"), ("test", "cab bad", "cab dad")):
        soundfile.write(folder / f"{split}.wav", speak(said), 16000, subtype="FLOAT")
        entry = {"audio_filepath": f"{split}.wav", "duration": len(speak(said)) / 16000, "text": text}
        (folder / f"{split}.jsonl").write_text(json.dumps(entry) + "\n")
    return folder


@pytest.fixture
def machine_room(monkeypatch):
    """Replace what needs a microphone and an hour; return the list of what was asked for."""
    asked = []

    def fake(name, figures):
        def measure(bundle, **options):
            asked.append((name, {key: value for key, value in options.items() if key != "clip"}))
            return dict(figures)

        return measure

    monkeypatch.setattr(live, "measure_idle", fake("idle", IDLE))
    monkeypatch.setattr(live, "measure_soak", fake("soak", SOAK))
    return asked


def test_latency_is_that_of_the_clips(bundle):
    clips = [speak("cab bad"), speak("dad")]
    found = live.measure_latency(bundle, clips=clips, references=["cab bad", "bee"])
    assert (found["num_clips"], found["dropped_samples"], found["chunk_ms"]) == (2, 0, 160)
    assert found["audio_s"] == pytest.approx(sum(map(len, clips)) / 16000)
    assert found["stream_wer"] == found["offline_wer"] == pytest.approx(1 / 3)
    assert found["stream_minus_offline_wer"] == 0
    assert {name: len(values) for name, values in found["values_ms"].items()}["final text"] == 2
    assert np.median(found["values_ms"]["end of the line"]) == pytest.approx(found["endpoint_ms"]["p50"], abs=0.1)
    json.dumps(found, allow_nan=False)


def test_all_parts_and_their_summary(bundle, corpus, machine_room, tmp_path, capsys):
    arguments = [str(bundle), "--data-dir", str(corpus), "--results", str(tmp_path), "--soak-s", "600"]
    assert live.main(arguments) == 0
    assert machine_room == [("idle", {"seconds": 60.0}), ("soak", {"duration_s": 600.0, "speed": 1.0})]
    result = read_json(tmp_path / "live.json")
    assert list(result["parts"]) == ["latency", "idle", "soak"]
    summary = result["summary"]
    assert summary["dropped_samples"] == 480
    assert summary["idle_cpu_percent"] == 0.8
    assert (summary["soak_rss_growth_mb"], summary["soak_latency_ratio_last_to_first"]) == (0.25, 1.01)
    assert summary["stream_minus_offline_wer"] == 0
    assert summary["first_partial_ms_p95"] == round(result["parts"]["latency"]["first_partial_ms"]["p95"], 1)
    assert summary["finalisation_ms_p95"] == round(result["parts"]["latency"]["finalisation_ms"]["p95"], 1)
    for part in result["parts"].values():
        assert {"cpu", "threads", "load_average", "versions"} <= part["machine"].keys()
        assert part["command"]
    page = (tmp_path / "live.html").read_text()
    assert page.count("<svg") == 3
    assert "with --gate" in page
    out = capsys.readouterr().out
    assert "final text, from the end of speech" in out
    # Nothing is missing: nothing is measured again.
    machine_room.clear()
    assert live.main(arguments) == 0
    assert machine_room == []


def test_a_stopped_run_goes_on_and_a_part_can_be_measured_anew(bundle, corpus, machine_room, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise LotteryError("stopped", hint="")

    arguments = [str(bundle), "--data-dir", str(corpus), "--results", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(live, "measure_soak", fail)
        assert live.main(arguments) == 2
    assert list(read_json(tmp_path / "live.json")["parts"]) == ["latency", "idle"]
    machine_room.clear()
    assert live.main(arguments) == 0
    assert [name for name, _ in machine_room] == ["soak"]
    machine_room.clear()
    assert live.main([*arguments, "--part", "idle", "--idle-s", "5"]) == 0
    assert machine_room == [("idle", {"seconds": 5.0})]
    assert list(read_json(tmp_path / "live.json")["parts"]) == ["latency", "idle", "soak"]


def test_another_bundle_starts_anew(bundle, corpus, machine_room, tmp_path, capsys):
    for name in ("idle", "soak"):
        assert live.main([str(bundle), "--data-dir", str(corpus), "--results", str(tmp_path), "--part", name]) == 0
    other = write_tiny_bundle(tmp_path / "other", chunk_frames=8)
    assert live.main([str(other), "--data-dir", str(corpus), "--results", str(tmp_path), "--part", "idle"]) == 0
    assert "another bundle's" in capsys.readouterr().err
    assert list(read_json(tmp_path / "live.json")["parts"]) == ["idle"]


def test_a_machine_without_a_virtual_microphone_says_so(monkeypatch, bundle):
    monkeypatch.setattr(live, "missing", lambda: "no pulseaudio: apt install pulseaudio")
    with pytest.raises(LotteryError, match="no pulseaudio") as caught:
        live.measure_idle(bundle, seconds=1.0)
    assert "--part latency" in caught.value.hint
    with pytest.raises(LotteryError, match="no pulseaudio"):
        live.measure_soak(bundle, clip=speak("cab"), duration_s=1.0, speed=1.0)
