"""Error rates and bytes in the engine's benchmark."""

from types import SimpleNamespace

import pytest

from benchmarks import engine_accuracy
from benchmarks.engine_accuracy import disk_figures, word_error_rates
from benchmarks.engine_models import config_of
from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket


@pytest.mark.usefixtures("engine_library")
def test_disk_figures():
    found = disk_figures(config_of("tiny"))
    assert found["weight_bound_bytes"] < found["bound_bytes"] <= found["file_bytes"]
    assert found["file_over_bound"] == found["file_bytes"] / found["bound_bytes"]
    assert found["weights_over_bound"] >= 1


class FakeRecognizer:
    """Stands in for the runtime: the engine mishears the second clip, and everything of the second ticket."""

    def __init__(self, bundle, *, precision, backend):
        self._errs = {"a b c": False, "d e": backend == "engine", "f": "level_02" in bundle.name}

    def transcribe(self, clip):
        return SimpleNamespace(text="x" if self._errs[clip] else clip)


def test_tickets_are_compared_one_by_one_and_together(tmp_path, monkeypatch):
    model = random_model(small_config(), seed=1)
    mask = unit_mask(model, drawn_units(model, seed=4))
    tickets = [write_ticket(tmp_path / "run" / name, model, mask=mask) for name in ("level_01", "level_02")]
    exported = []
    monkeypatch.setattr(engine_accuracy, "export_ticket", lambda ticket, out, **rest: exported.append((out, rest)))
    # A clip is its own text.
    texts = ["a b c", "d e", "f"]
    monkeypatch.setattr(engine_accuracy, "read_clips", lambda *name, **rest: (texts, texts))
    monkeypatch.setattr(engine_accuracy, "Recognizer", FakeRecognizer)
    records = word_error_rates([ticket.folder for ticket in tickets], data_dir=None, bundles=tmp_path / "bundles")
    assert [record["ticket"] for record in records] == ["run/level_01", "run/level_02", "all together"]
    assert [record["onnxruntime_fp32"]["wer"] for record in records] == pytest.approx([0, 1 / 6, 1 / 12])
    assert [record["engine_int8"]["wer"] for record in records] == pytest.approx([2 / 6, 3 / 6, 5 / 12])
    assert records[2]["engine_int8"]["minus_reference"] == pytest.approx(2 / 6)
    low, high = records[2]["engine_int8"]["wer_interval"]
    assert low < 5 / 12 < high
    assert all(rest["is_structured"] for _, rest in exported)
    assert len({out for out, _ in exported}) == 2
