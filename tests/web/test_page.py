"""The page in headless Chromium: microphone, files, benchmark, settings, and what it says when something is missing."""

import dataclasses
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from runtime import Recognizer
from runtime.confidence import Calibration, Logistic
from runtime.features import SAMPLE_RATE_HZ
from runtime.manifest import Manifest
from tests.tiny_bundle import speak, write_tiny_bundle
from tests.web.chromium import BrowserError
from tests.web.page import Page, delay, token_differences

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "browser.md"
SPOKEN = "abc de"
# Chromium plays sound at the rate of a sound card; a file of that rate is resampled once less.
CARD_HZ = 48000
# The fake microphone begins while the page still connects; silence before the clip keeps its beginning.
LEAD_S, TAIL_S = 0.5, 1.0


def write_microphone(path, samples, *, rate=SAMPLE_RATE_HZ):
    """Write what the fake microphone plays, and return the path and its length in seconds."""
    silence = [np.zeros(round(seconds * rate), np.float32) for seconds in (LEAD_S, TAIL_S)]
    played = np.concatenate([silence[0], samples, silence[1]])
    soundfile.write(path, soxr.resample(played, rate, CARD_HZ), CARD_HZ, subtype="PCM_16")
    return path, len(played) / rate


@pytest.fixture(scope="module")
def served(serve, tiny):
    with serve(tiny) as server:
        yield server


@pytest.fixture(scope="module")
def page(chromium, served, tmp_path_factory):
    """A page whose microphone plays the clip once, with the tiny bundle."""
    path, _ = write_microphone(tmp_path_factory.mktemp("clip") / "clip.wav", speak(SPOKEN))
    with chromium(microphone=path) as browser:
        page = Page(browser, served.url)
        assert page.open()["phase"] == "ready", browser.messages()
        yield page


def recognize(bundle, samples):
    return Recognizer(bundle, backend="onnxruntime").transcribe(samples)


def test_the_microphone_becomes_the_text(page, tiny):
    heard = page.hear(len(speak(SPOKEN)) / SAMPLE_RATE_HZ + LEAD_S + TAIL_S + 1.0)
    # one token: where the chunks begin differs from the clip's
    assert token_differences(heard["ids"], recognize(tiny, speak(SPOKEN)).ids) <= 1
    # the same sound, sample by sample, gives the same tokens
    assert heard["sample_rate_hz"] == SAMPLE_RATE_HZ
    assert tuple(heard["ids"]) == recognize(tiny, heard["samples"]).ids
    assert "".join(line["text"] for line in heard["lines"]).replace(" ", "") == "abcde"
    assert page.text("lines").split("\n")[1].split()[0] == heard["lines"][0]["text"].split()[0]
    figures = heard["figures"]
    assert figures["droppedS"] == 0
    assert figures["heardS"] == pytest.approx(len(heard["samples"]) / SAMPLE_RATE_HZ)
    assert figures["rtf"] > 0
    assert 0 < figures["chunkMs"]["p50"] <= figures["chunkMs"]["p95"]
    assert re.fullmatch(r"\d+\.\d", page.text("chunk-p50"))
    assert page.app()["error"] is None
    assert page.browser.messages() == []


def write_clips(folder):
    """Write a few clips and return [(path, samples at 16 kHz)]."""
    clips = []
    for number, text in enumerate(("abc de", "e", "dcba")):
        path = folder / f"{number} {text}.wav"
        soundfile.write(path, speak(text), SAMPLE_RATE_HZ, subtype="FLOAT")
        clips.append((path, speak(text)))
    return clips


@pytest.mark.parametrize("is_dropped", [False, True])
def test_files_become_text_with_times(page, tiny, tmp_path, is_dropped):
    clips = write_clips(tmp_path)
    entries = page.transcribe([path for path, _ in clips], is_dropped=is_dropped)
    for entry, (path, samples) in zip(entries, clips, strict=True):
        expected = recognize(tiny, samples)
        assert entry["name"] == path.name
        assert tuple(entry["result"]["ids"]) == expected.ids
        assert [(w["text"], w["startS"], w["endS"]) for w in entry["result"]["words"]] == [
            (word.text, word.start_s, word.end_s) for word in expected.words
        ]
        assert path.name in page.text("results")
    assert f"{expected.words[0].start_s:.2f}" in page.text("results")


def test_files_of_other_kinds(page, tiny, tmp_path):
    samples = speak("abc")
    stereo = np.stack([1.5 * samples, 0.5 * samples], axis=1)
    paths = [tmp_path / name for name in ("stereo.wav", "rate.wav", "small.opus", "none.wav")]
    soundfile.write(paths[0], stereo, SAMPLE_RATE_HZ, subtype="FLOAT")
    soundfile.write(paths[1], soxr.resample(samples, SAMPLE_RATE_HZ, 44100), 44100)
    soundfile.write(paths[2], samples, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
    paths[3].write_text("no sound")
    *entries, broken = page.transcribe(paths)
    assert [entry["result"]["text"] for entry in entries] == ["abc"] * 3
    assert "not a sound file" in broken["error"]["message"]
    assert "ffmpeg" in page.text("results")
    assert page.app()["phase"] == "ready"


def test_the_benchmark_gives_json_to_paste(page, tiny):
    result = page.benchmark()
    manifest = json.loads((tiny / "manifest.json").read_text())
    assert json.loads(page.text("bench-json")) == result
    assert result["schema_version"] == 1
    assert result["model"]["sha256"] == manifest["files"]["model_int8"]["sha256"]
    assert result["model"]["is_verified"] is True
    assert result["model"]["file"] == "model.int8.onnx"
    assert result["model"]["chunk_audio_ms"] == 40 * manifest["chunk_frames"]
    assert "Chrome" in result["device"]["user_agent"]
    assert result["device"]["hardware_concurrency"] >= 1
    assert (result["runtime"]["threads"], result["runtime"]["wasm_simd"]) == (1, True)
    assert result["runtime"]["cross_origin_isolated"] is True
    for name in ("chunk_ms", "model_ms"):
        assert 0 < result[name]["p50"] <= result[name]["p95"] <= result[name]["p99"]
        assert result[name]["count"] >= 200
    assert result["model_ms"]["p50"] <= result["chunk_ms"]["p50"]
    assert min(result["load_ms"], result["warm_up_ms"], result["rtf"]) > 0
    documented = DOCUMENT.read_text()
    for name in (*result, *result["device"], *result["runtime"], *result["model"]):
        assert f"`{name}`" in documented
    page.click("copy-bench")
    page.browser.wait_for("document.getElementById('copy-bench').innerText === 'Copied'")


def test_settings_load_another_model(page, tiny, tmp_path):
    (path, samples), *_ = write_clips(tmp_path)
    try:
        assert page.choose("precision", "fp32")["model"]["precision"] == "fp32"
        assert page.app()["model"]["numThreads"] == 1
        choices = page.browser.evaluate("[...document.getElementById('threads').options].map((o) => Number(o.value))")
        if 2 in choices:
            assert page.choose("threads", 2)["model"]["numThreads"] == 2
        (entry,) = page.transcribe([path])
        assert tuple(entry["result"]["ids"]) == recognize(tiny, samples).ids
    finally:
        page.choose("threads", 1)
        page.choose("precision", "int8")


def test_a_model_that_does_not_load_gives_way_to_another(chromium, serve, tiny):
    with serve(tiny) as server, chromium() as browser:
        page = Page(browser, server.url)
        assert page.open()["model"]["precision"] == "int8"
        # What is served is what was checked: a file that goes away later does not matter, a resource that does would.
        del server.resources["/bundle/model.onnx"]
        assert page.choose("precision", "fp32")["phase"] == "failed"
        assert "404" in page.text("notice")
        assert page.choose("precision", "int8")["phase"] == "ready"
        assert browser.evaluate("document.getElementById('notice').hidden")


def test_what_is_rejected_leaves_a_mark(chromium, serve, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "calibrated")
    calibration = Calibration(
        word=Logistic(bias=0.3, weight=0.9), utterance=Logistic(bias=-1.8, weight=-2.0), min_confidence=0.5
    )
    dataclasses.replace(Manifest.load(bundle), confidence=calibration).write(bundle)
    pause, unclear = np.zeros(round(1.3 * 16000), np.float32), 0.5 * (speak("abcde") + speak("edcba"))
    soundfile.write(
        tmp_path / "mixed.wav", np.concatenate([speak("ab cd"), pause, unclear, pause, speak("bad")]), 16000
    )
    with serve(bundle) as server, chromium() as browser:
        page = Page(browser, server.url)
        page.open()
        (entry,) = page.transcribe([tmp_path / "mixed.wav"])
        assert (entry["result"]["text"], entry["result"]["numRejected"]) == ("ab cd bad", 1)
        assert [word["text"] for word in entry["result"]["words"]] == ["ab", "cd", "bad"]
        assert "(not understood)" in page.text("results")
        assert browser.messages() == []


def test_a_bundle_with_int8_alone(chromium, serve, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "int8", has_fp32=False)
    (path, samples), *_ = write_clips(tmp_path)
    with serve(bundle) as server, chromium() as browser:
        page = Page(browser, server.url)
        assert page.open()["model"]["precisions"] == ["int8"]
        assert browser.evaluate("[...document.getElementById('precision').options].map((o) => o.value)") == ["int8"]
        (entry,) = page.transcribe([path])
        assert tuple(entry["result"]["ids"]) == recognize(bundle, samples).ids
        assert browser.messages() == []


def test_what_was_heard_is_saved(page, tmp_path):
    page.hear(0.3)
    page.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("save-sound")
    path = tmp_path / "heard.wav"
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, page.browser.messages()
        time.sleep(0.05)
    heard = page.browser.evaluate("import('./static/app.js').then(({app}) => Array.from(app.recording.samples))")
    found, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE_HZ
    assert len(found) > 0
    assert np.array_equal(found, np.array(heard, np.float32))


def test_files_dropped_while_it_listens(page, tmp_path):
    (path, _), *_ = write_clips(tmp_path)
    before = len(page.app()["files"])
    page.start_listening()
    page.browser.drop_files("#drop", [path])
    page.browser.wait_for("document.getElementById('notice').innerText.includes('Press Stop')")
    assert page.stop_listening()["phase"] == "ready"
    assert len(page.app()["files"]) == before


def test_the_page_fits_a_phone_and_names_its_parts(page):
    page.browser.look_like(width=360, height=740, is_phone=True)
    try:
        assert page.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        button = page.browser.evaluate(
            "(() => { const {width, height} = document.getElementById('listen').getBoundingClientRect(); "
            "return Math.min(width, height); })()"
        )
        assert button >= 64
    finally:
        page.browser.call("Emulation.clearDeviceMetricsOverride")
    nodes = page.browser.call("Accessibility.getFullAXTree")["nodes"]
    named = ("button", "meter", "progressbar", "combobox", "checkbox", "region")
    for node in nodes:
        if not node.get("ignored") and node["role"]["value"] in named:
            assert node["name"]["value"], node


def test_a_browser_that_cannot_record_at_16_khz(chromium, served, tiny, tmp_path):
    path, duration_s = write_microphone(tmp_path / "clip.wav", speak(SPOKEN))
    with chromium(microphone=path) as browser:
        # as Firefox does
        browser.before_scripts(
            "const connect = AudioContext.prototype.createMediaStreamSource; "
            "AudioContext.prototype.createMediaStreamSource = function (stream) { if (this.sampleRate === 16000) "
            "throw new DOMException('rates differ', 'NotSupportedError'); return connect.call(this, stream); };"
        )
        page = Page(browser, served.url)
        page.open()
        heard = page.hear(duration_s + 0.5)
    assert heard["sample_rate_hz"] >= 44100
    expected = Recognizer(tiny, backend="onnxruntime").transcribe(
        heard["samples"], sample_rate_hz=heard["sample_rate_hz"]
    )
    assert len(expected.ids) > 0
    assert token_differences(heard["ids"], expected.ids) <= 1


def test_a_microphone_that_falls_silent(chromium, served, tmp_path):
    path, duration_s = write_microphone(tmp_path / "clip.wav", speak("a"))
    with chromium(microphone=path) as browser:
        # what a phone does when somebody calls
        browser.before_scripts(
            "const contexts = []; const Plain = AudioContext; window.AudioContext = class extends Plain { "
            "constructor(options) { super(options); contexts.push(this); } }; "
            "window.interrupt = () => Promise.all(contexts.map((context) => context.suspend()));"
        )
        page = Page(browser, served.url)
        page.open()
        assert page.start_listening()["phase"] == "listening"
        # behind its end the file is digital zero
        browser.wait_for("document.getElementById('notice').innerText.includes('zeros')", timeout_s=duration_s + 20)
        browser.evaluate("interrupt()")
        heard = page.stop_listening()
        assert heard["phase"] == "ready"
        assert "".join(line["text"] for line in heard["lines"]) == "a"


def test_without_permission(chromium, served):
    with chromium(has_permission=False) as browser:
        # headless: nobody to ask, so the answer is no
        browser.call("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
        page = Page(browser, served.url)
        page.open()
        heard = page.start_listening()
        assert heard["phase"] == "ready"
        assert "did not allow" in heard["error"]["message"]
        assert heard["error"]["message"] in page.text("notice")
        assert heard["error"]["hint"] in page.text("notice")


def test_without_a_secure_page(chromium, serve, tiny, tmp_path):
    (path, _), *_ = write_clips(tmp_path)
    with serve(tiny, names=["phone.test"]) as server, chromium(rules="MAP phone.test 127.0.0.1") as browser:
        page = Page(browser, server.url.replace("localhost", "phone.test"))
        assert page.open()["model"]["isVerified"] is False
        assert "not secure" in page.text("notice")
        heard = page.start_listening()
        assert heard["phase"] == "ready"
        assert "HTTPS" in heard["error"]["message"]
        (entry,) = page.transcribe([path])
        assert entry["result"]["text"] == SPOKEN
        assert browser.evaluate("document.getElementById('threads').disabled")
        assert not browser.evaluate("crossOriginIsolated")


def test_a_bundle_that_goes_missing(chromium, serve, tiny):
    with serve(tiny) as server, chromium() as browser:
        address = "/bundle/model.int8.onnx"
        server.resources[address] = dataclasses.replace(server.resources[address], content=b"damaged")
        page = Page(browser, server.url)
        opened = page.open()
        assert opened["phase"] == "failed"
        assert "7 bytes, the manifest says" in opened["error"]["message"]
        del server.resources["/bundle/manifest.json"]
        opened = page.open()
        assert opened["phase"] == "failed"
        assert "404" in opened["error"]["message"]
        assert "demo.web" in page.text("notice")
        assert browser.evaluate("document.getElementById('listen').disabled")


def test_recorded_speech_through_the_microphone(chromium, serve, shared_data, real_bundle, tmp_path):
    clip = shared_data("an4") / "audio" / "test" / "an408-fcaw-b.opus"
    samples, rate = soundfile.read(clip, dtype="float32")
    path, duration_s = write_microphone(tmp_path / "clip.wav", samples, rate=rate)
    with serve(real_bundle) as server, chromium(microphone=path) as browser:
        page = Page(browser, server.url)
        assert page.open()["phase"] == "ready"
        heard = page.hear(duration_s + 0.5)
    # Within one token of what Python makes of the same sound, and of the clip beginning at the same moment, which the
    # browser has not resampled. (Beginning elsewhere in a chunk, Python's own tokens may be others.)
    delayed = delay(samples, like=heard["samples"])
    for reference in (heard["samples"], delayed):
        expected = recognize(real_bundle, reference).ids
        assert len(expected) > 0
        assert token_differences(heard["ids"], expected) <= 1


def test_a_browser_that_cannot_open_the_page(chromium):
    with chromium() as browser, pytest.raises(BrowserError, match="ERR_"):
        browser.open("http://localhost:9/")
