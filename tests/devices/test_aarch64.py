"""lottery-asr installed on 64-bit ARM, in QEMU: the same words as here, and a comparison that would tell if not."""

import shutil

import numpy as np
import pytest
import soundfile

from benchmarks import aarch64, aarch64_steps
from benchmarks.aarch64_root import PROCESSORS, EmulationError, make_arm_python
from benchmarks.results import CHECKOUT
from runtime.engine.build import BuildError, find_compiler
from runtime.recognizer import Recognizer
from tests.runtime.engine.tiny_ticket import write_engine_bundle
from tests.tiny_bundle import speak

SHIPPED = CHECKOUT / "runtime" / "shipped" / "en"
MODELS = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("engine", "int8"))
INSTRUCTION_SETS = {"cortex-a72": ["neon", "baseline"], "cortex-a76": ["dotprod", "neon", "baseline"]}


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    """Return an ArmPython; skip visibly without QEMU, apt-get, or the network."""
    folder = tmp_path_factory.mktemp("aarch64")
    try:
        yield make_arm_python(folder)
    except EmulationError as error:
        pytest.skip(f"no ARM system here: {error} ({error.hint})")
    finally:
        # Some 300 MB.
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_engine_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a file at a rate that is resampled on the way."""
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    samples = speak("bad cab", sample_rate_hz=22050)
    # Beside a pure tone there is nothing but rounding, whose logarithm is another on every processor.
    samples += np.random.default_rng(0).normal(0, 1e-3, len(samples)).astype(np.float32)
    soundfile.write(path, samples, 22050)
    return path


def needs_engine(arm):
    try:
        find_compiler(target="aarch64")
    except BuildError:
        pytest.skip("the wheel for ARM has no engine (Debian: apt install g++-aarch64-linux-gnu)")
    assert arm.has_engine, "there is a compiler for ARM, but the wheel has no engine"


@pytest.mark.parametrize("backend", ["onnxruntime", "engine"])
def test_a_clean_installation_transcribes_the_same_text(arm, bundle, clip, backend):
    if backend == "engine":
        needs_engine(arm)
    text = arm.run(arm.script("lottery-transcribe"), "--backend", backend, bundle, clip)
    assert text == "bad cab\n"
    assert Recognizer(bundle, backend="onnxruntime").transcribe(aarch64_steps.read_clip(clip)).text == "bad cab"


def test_the_recogniser_that_comes_along_hears_the_same(arm, shared_data):
    clip = min((shared_data("an4") / "audio").rglob("*.opus"))
    expected = Recognizer(SHIPPED, backend="onnxruntime").transcribe(aarch64_steps.read_clip(clip)).text
    assert arm.run(arm.script("lottery-transcribe"), "--backend", "onnxruntime", clip) == f"{expected}\n"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_engine_knows_the_processor(arm, processor):
    needs_engine(arm)
    program = (
        "import platform; from runtime.engine import library; print(platform.machine(), *library.instruction_sets())"
    )
    found = arm.run("-c", program, processor=processor).split()
    assert found == ["aarch64", *INSTRUCTION_SETS[processor]]


@pytest.mark.usefixtures("engine_library")
def test_recordings_of_both_machines_agree(arm, bundle, clip, tmp_path):
    needs_engine(arm)
    here, there = tmp_path / "here.npz", tmp_path / "there.npz"
    aarch64_steps.record(bundle, here, clip)
    arm.run(aarch64._PROGRAM, "record", bundle, there, clip)
    found = aarch64.compare(dict(np.load(here)), dict(np.load(there)), num_clips=1, models=MODELS)
    # float32 on either side, sums in another order; features are logarithms of about -16 to 5
    assert found["features_max_abs"] < 1e-3
    for row in found["models"]:
        assert row["tokens_equal"], row
        assert row["texts_equal"], row
        # the tiny bundle's int8 model is its float32 one; the engine's matrices are int8
        assert row["logprobs_max_abs"] < (0.2 if row["backend"] == "engine" else 1e-3), row


def recording(**changes):
    """Return a recording of one clip with one model, in which `changes` replace arrays."""
    logprobs = np.log(np.full((2, 3, 4), 0.25, np.float32))
    found = {"samples": np.zeros(5), "features": np.ones((7, 2)), "onnxruntime/fp32/logprobs": logprobs}
    found |= {"onnxruntime/fp32/ids": np.array([1, 2]), "onnxruntime/fp32/text": np.array("ab")} | changes
    return {f"0/{name}": value for name, value in found.items()}


def test_differences_are_found():
    equal = aarch64.compare(recording(), recording(), num_clips=1, models=MODELS[:1])
    assert (equal["num_chunks"], equal["features_max_abs"]) == (2, 0)
    assert equal["models"][0]["logprobs_max_abs"] == 0
    assert equal["models"][0]["tokens_equal"]
    logprobs = recording()["0/onnxruntime/fp32/logprobs"].copy()
    logprobs[1, 2, 3] += 0.5
    other = recording(**{"onnxruntime/fp32/logprobs": logprobs, "onnxruntime/fp32/ids": np.array([1, 3])})
    found = aarch64.compare(recording(), other, num_clips=1, models=MODELS[:1])["models"][0]
    assert found["logprobs_max_abs"] == pytest.approx(0.5)
    assert found["probability_max_abs"] == pytest.approx(0.25 * (np.exp(0.5) - 1), rel=1e-5)
    assert not found["tokens_equal"]
    assert found["texts_equal"]


def test_a_chunk_is_the_difference_of_two_runs(bundle, tmp_path):
    from runtime.manifest import Manifest

    class Counter:
        def count(self, *arguments, processor):
            return 10**9 + 1234 * int(arguments[-1])

    found = aarch64.count_chunk(Counter(), "x", bundle, "y", manifest=Manifest.load(bundle), processor="cortex-a72")
    assert found == 1234


def test_the_summary_names_the_int8_engine():
    parity = {
        "cortex-a72": {
            "features_max_abs": 1e-6,
            "models": [
                {"backend": backend, "precision": precision, "logprobs_max_abs": value, "tokens_equal": True}
                for (backend, precision), value in zip(MODELS, (1e-5, 0.1, 0.2), strict=True)
            ],
        }
    }
    counts = [
        {"what": " ".join(model), "processor": processor, "instructions_per_chunk": 1000 * number}
        for processor in ("cortex-a76", "cortex-a72")
        for number, model in enumerate(MODELS, start=1)
    ]
    summary = aarch64.summarise(parity, counts, processor="cortex-a72")
    assert summary["aarch64_fp32_max_abs"] == 1e-5
    assert (summary["aarch64_instructions_per_chunk"], summary["instructions_of"]) == (3000, "engine int8")
    assert summary["onnxruntime_int8_million_instructions"] == 0.0
    without = aarch64.summarise(parity, [row for row in counts if "engine" not in row["what"]], processor="cortex-a72")
    assert without["instructions_of"] == "onnxruntime int8"
