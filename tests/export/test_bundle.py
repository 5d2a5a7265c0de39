"""From a ticket to a bundle that the runtime loads: contents, zeros called zeros, equal bytes, nothing half-written."""

import json
import os
import zlib

import numpy as np
import pytest
import torch

from export.bundle import _printable, export_ticket
from export.card import ENGINE_NOTE, ZEROS_NOTE
from export.errors import ExportError
from lottery_train.models import count_weights
from runtime.engine import library
from runtime.engine.session import EngineSession
from runtime.errors import BundleError, LotteryError
from runtime.features import PADDING_VALUE, fbank, num_chunks, padded_frames
from runtime.fields import MAX_TEXT_CHARACTERS
from runtime.files import read_json, sha256_file
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from runtime.session import OrtSession, open_session
from runtime.synthetic import speech_like
from tests.export.models import CHUNK_FRAMES, TOKENIZER
from tests.runtime.engine.reference_ticket import read_ticket

SILENT = {"progress": lambda line: None}
needs_engine = pytest.mark.skipif(not library.is_available(), reason="the ticket engine's library is not built here")


# What an export of int8 alone leaves out.
WITH_FLOATS = {"model.onnx", "model.ort", "model.required_operators.config"}


@pytest.fixture(scope="module")
def ticket(exported):
    return exported.ticket


def test_the_bundle_holds_what_the_manifest_says(exported, ticket):
    folder, result = exported.folder, exported.result
    manifest = Manifest.load(folder)
    assert manifest.to_json() == json.loads(json.dumps(result.manifest.to_json()))
    assert {role: entry.path for role, entry in manifest.files.items()} == {
        "model": "model.onnx",
        "model_int8": "model.int8.onnx",
        "model_ort": "model.ort",
        "ort_operators": "model.required_operators.config",
        **({"model_ticket": "model.ticket"} if library.is_available() else {}),
        "tokens": "tokens.txt",
        "parity": "parity.json",
        "card": "README.md",
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [entry.path for entry in manifest.files.values()] + ["manifest.json"]
    )
    assert manifest.name == "small"
    assert manifest.chunk_frames == CHUNK_FRAMES
    assert read_json(folder / "parity.json") == result.parity
    assert any(line.startswith("shrinking: keeping") for line in exported.progress)


def test_provenance(exported, ticket):
    told = exported.result.manifest.provenance
    assert told["ticket_sha256"] == sha256_file(ticket.folder / "ticket.json")
    assert told["structured"] is True
    assert (told["level"], told["granularity"], told["density"]) == (3, "unit", ticket.record["density"])
    assert told["dense_weights"] == count_weights(ticket.config)
    assert told["num_weights"] == count_weights(type(ticket.config).from_json(told["config"])) < told["dense_weights"]
    assert told["num_nonzeros"] <= told["num_weights"]
    assert told["wer"]["test"]["wer"] == 0.125


def test_the_runtime_hears_what_the_ticket_hears(exported, ticket):
    """Recognizer on the bundle against the masked torch model on the same features: the same symbols."""
    folder = exported.folder
    samples = speech_like(4.0, seed=5)
    features = fbank(samples)
    chunks = num_chunks(len(features), chunk_frames=CHUNK_FRAMES)
    total = padded_frames(chunks, chunk_frames=CHUNK_FRAMES)
    padded = np.pad(features, ((0, max(0, total - len(features))), (0, 0)), constant_values=PADDING_VALUE)[:total]
    with torch.no_grad():
        best = ticket.build_model()(torch.from_numpy(padded[None]), chunk=CHUNK_FRAMES)[0].argmax(-1).tolist()
    expected = [symbol for place, symbol in enumerate(best) if symbol and (place == 0 or symbol != best[place - 1])]
    result = Recognizer(folder, precision="fp32").transcribe(samples, sample_rate_hz=16000)
    assert list(result.ids) == expected
    assert len(expected) > 5
    assert result.text == TOKENIZER.decode(expected)


def test_every_model_file_runs_in_a_session(exported):
    folder = exported.folder
    manifest = Manifest.load(folder)
    ort = OrtSession(folder / manifest.files["model_ort"].path, manifest=manifest)
    sessions = [open_session(folder, manifest=manifest, precision=each) for each in ("fp32", "int8")]
    shape = manifest.geometry
    window = fbank(speech_like(2.0))[None, : shape.window_frames]
    outputs = [session.step(window, session.initial_state())[0] for session in (*sessions, ort)]
    assert all(output.shape == (1, CHUNK_FRAMES, len(TOKENIZER)) for output in outputs)
    # dynamic int8 against fp32, in probabilities
    assert 0 < np.abs(np.exp(outputs[1]) - np.exp(outputs[0])).max() < 0.2
    assert np.abs(np.exp(outputs[2]) - np.exp(outputs[1])).max() < 0.05


@needs_engine
def test_the_manifest_tells_the_formats_of_the_ticket_file(exported, with_zeros):
    for folder in (exported.folder, with_zeros[0]):
        manifest = Manifest.load(folder)
        ticket = read_ticket((folder / "model.ticket").read_bytes())
        names = [name for name, tensor in ticket.tensors.items() if not isinstance(tensor, np.ndarray)]
        assert manifest.engine["precision"] == "int8"
        assert list(manifest.engine["formats"]) == names
        formats = dict(manifest.engine["formats"])
        assert formats.pop("conv1") == "dense_f32"
        assert {name.rpartition("_")[2] for name in formats.values()} == {"i8"}
        assert ticket.config["chunk_frames"] == CHUNK_FRAMES
    # Whole units are zero here, of which the shrunk model has none.
    assert "block1x4_i8" in Manifest.load(with_zeros[0]).engine["formats"].values()
    assert set(Manifest.load(exported.folder).engine["formats"].values()) == {"dense_f32", "dense_i8"}
    assert "Matrices in model.ticket, by format: " in (exported.folder / "README.md").read_text()


@needs_engine
def test_the_ticket_file_is_verified_over_a_hundred_chunks(exported):
    stages = exported.result.parity["stages"]
    assert exported.result.parity["signal"]["num_long_chunks"] >= 100
    assert stages["onnx_vs_engine_fp32"]["log_probs"]["max"] <= 1e-4
    assert 0 < stages["onnx_vs_engine_int8"]["plausible"] <= stages["onnx_vs_int8"]["bound"]
    assert stages["onnx_vs_engine_int8"]["decided_agreement"] >= 0.95


@needs_engine
def test_masked_and_shrunk_ticket_files_compute_the_same(exported, with_zeros):
    """Zeros that are left out, and units that are gone: int8 scales and sums are the same ones."""
    window = fbank(speech_like(2.0))[None, : Manifest.load(exported.folder).geometry.window_frames]
    outputs = []
    for folder in (exported.folder, with_zeros[0]):
        session = EngineSession(folder / "model.ticket", manifest=Manifest.load(folder))
        outputs.append(session.step(window, session.initial_state())[0])
    # int8 activations of two modules are gone with them; what they added moved into biases
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=0, atol=0.1)


def test_without_the_engine_the_bundle_has_no_ticket_file(ticket, tmp_path, monkeypatch):
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "nowhere.so"))
    lines = []
    result = export_ticket(ticket, tmp_path / "b", is_structured=True, progress=lines.append)
    assert [line for line in lines if line.startswith("no model.ticket: the ticket engine is not installed")]
    assert result.manifest.engine is None
    assert not (tmp_path / "b" / "model.ticket").exists()
    assert "engine" not in read_json(tmp_path / "b" / "manifest.json")
    assert not [stage for stage in result.parity["stages"] if "engine" in stage]
    assert "model.ticket" not in (tmp_path / "b" / "README.md").read_text()


def test_zeros_stay_and_are_called_zeros(with_zeros, exported, ticket):
    folder, output = with_zeros
    manifest = Manifest.load(folder)
    told, shrunk = manifest.provenance, exported.result.manifest
    assert told["structured"] is False
    assert told["num_weights"] == told["dense_weights"]
    assert told["num_nonzeros"] == shrunk.provenance["num_nonzeros"] + _bias_difference(ticket)
    assert "masked_vs_shrunk" not in read_json(folder / "parity.json")["stages"]
    # the zeros compress; the shrunk file is small as it is
    num_bytes = manifest.files["model"].bytes
    zipped = len(zlib.compress((folder / "model.onnx").read_bytes()))
    assert zipped < 0.8 * num_bytes
    assert shrunk.files["model"].bytes < 0.8 * num_bytes
    card = (folder / "README.md").read_text()
    for text in (output, card):
        assert f"{zipped:,}" in text
        assert (ENGINE_NOTE if library.is_available() else ZEROS_NOTE) in " ".join(text.split())


def _bias_difference(ticket):
    """Values of dropped modules that the mask leaves: norms and the output bias, folded away by shrinking."""
    return sum(
        int(tensor.count_nonzero())
        for name, tensor in ticket.weights.items()
        if name.startswith(("blocks.0.attention.norm.", "blocks.1.ff1.norm."))
        or name in ("blocks.0.attention.out.bias", "blocks.1.ff1.down.bias")
    )


def test_the_card_tells_what_a_user_must_know(exported):
    folder, result = exported.folder, exported.result
    card = (folder / "README.md").read_text()
    told = result.manifest.provenance
    for fact in (
        "# small",
        "12.5 %",
        "10.0 % to 15.0 %",
        "tones",
        f"{told['num_weights']:,}",
        f"{told['num_nonzeros']:,}",
    ):
        assert fact in card
    for name in ("model.onnx", "model.int8.onnx", "model.ort"):
        assert f"| {name} | {(folder / name).stat().st_size:,} |" in card
    for heading in ("Error rates", "Sizes", "Method", "Training data", "Verification", "Known limits", "How to run it"):
        assert f"## {heading}" in card
    assert "zeros" not in card
    assert max(map(len, card.splitlines())) < 250


def test_exporting_twice_gives_equal_bytes(exported, ticket, tmp_path):
    folder = exported.folder
    export_ticket(ticket, tmp_path / "small", is_structured=True, **SILENT)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "small" / path.name).read_bytes(), path.name


def test_another_chunk_length_and_no_int8_over_an_older_bundle(ticket, tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    options = {"is_structured": True, "chunk_frames": 4, "precisions": ("fp32",), "name": "short"}
    with pytest.raises(ExportError, match="already") as caught:
        export_ticket(ticket, folder, **options, **SILENT)
    assert "--overwrite" in caught.value.hint
    result = export_ticket(ticket, folder, can_overwrite=True, **options, **SILENT)
    assert (result.manifest.name, result.manifest.chunk_frames) == ("short", 4)
    assert "model_int8" not in Manifest.load(folder).files
    assert not [stage for stage in result.parity["stages"] if "int8" in stage]
    if library.is_available():
        assert result.manifest.engine["precision"] == "fp32"
        assert result.parity["stages"]["onnx_vs_engine_fp32"]["log_probs"]["max"] <= 1e-4
    assert "160 ms chunks, where the rates differ" in (folder / "README.md").read_text()


def test_int8_alone_is_the_smallest_bundle(exported, ticket, tmp_path):
    folder = tmp_path / "int8"
    export_ticket(ticket, folder, is_structured=True, precisions=("int8",), **SILENT)
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in exported.folder.iterdir()} - WITH_FLOATS
    assert (folder / "model.int8.onnx").read_bytes() == (exported.folder / "model.int8.onnx").read_bytes()
    card = " ".join((folder / "README.md").read_text().split())
    assert "`model.int8.onnx` also runs in sherpa-onnx" in card
    silence_s = (ticket.chunk_frames * 40 + 200) / 1000
    assert f"needs {silence_s:g} s of silence at its end" in card
    assert "model.onnx" not in card
    assert "model.ort" not in card
    recognizer = Recognizer(folder, backend="onnxruntime")
    assert recognizer.precision == "int8"
    with pytest.raises(BundleError, match="has no fp32 model") as caught:
        Recognizer(folder, backend="onnxruntime", precision="fp32")
    assert "--precision int8" in (caught.value.hint or "")


def test_a_failure_half_way_leaves_nothing(ticket, tmp_path, monkeypatch):
    def fail(model, *, chunk_frames):
        assert len(list(tmp_path.iterdir())) == 1
        raise ExportError("torch_vs_onnx: largest difference 1")

    monkeypatch.setattr("export.bundle.export_onnx", fail)
    with pytest.raises(ExportError):
        export_ticket(ticket, tmp_path / "b", is_structured=True, **SILENT)
    assert list(tmp_path.iterdir()) == []


def test_what_stands_at_out_is_safe(ticket, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for can_overwrite in (False, True):
        with pytest.raises(ExportError, match="is not a bundle"):
            export_ticket(ticket, folder, is_structured=True, can_overwrite=can_overwrite, **SILENT)
    with pytest.raises(LotteryError, match="cannot write"):
        export_ticket(ticket, folder / "thesis.txt", is_structured=True, can_overwrite=True, **SILENT)
    with pytest.raises(ExportError, match="is not a bundle"):
        export_ticket(ticket, ticket.folder, can_overwrite=True, **SILENT)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert json.loads((ticket.folder / "ticket.json").read_text())["level"] == 3


def test_a_bundle_may_lie_in_a_directory_of_any_name():
    name = _printable(os.fsdecode(b"caf\xe9\n") + "x" * 300)
    assert (name.isprintable(), name[:6], len(name)) == (True, "caf\ufffd\ufffdx", MAX_TEXT_CHARACTERS)
