"""The parity benchmark measures what it says, and would show a break."""

import pytest
import torch

from benchmarks import parity
from benchmarks.parity import conversion_parity, half_of_the_units, mask_parity, random_an4_model, summarise
from export.errors import ExportError
from lottery_train.pruning import Constant
from tests import reference_pruning as reference
from tests.lottery_train.tiny import random_model, tiny_config

EQUAL = {"constant": {"distinct": True, "ties": True}}


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    # Wide enough that int8 has products worth converting.
    return random_model(tiny_config(model_width=64, ff=192, conv=64, heads=4, head_width=16))


@pytest.fixture(scope="module")
def report_and_kept(model):
    return conversion_parity(model, mask=half_of_the_units(model), chunk_frames=4, num_chunks=10)


def test_every_kind_of_unit_is_pruned_and_the_chain_holds(report_and_kept):
    report, kept = report_and_kept
    assert set(kept) == {"head", "ff", "conv"}
    assert all(0 < left < before for left, before in kept.values())
    summary = summarise(report, EQUAL)
    assert summary["reference_masks_equal"] is True
    # the bounds of the issue; export.verify has raised already where its own are broken
    assert 0 < summary["masked_vs_shrunk_float32"] <= 1e-5
    assert summary["masked_vs_shrunk"] <= 1e-5
    assert 0 < summary["torch_vs_onnx"] <= 1e-4
    assert summary["chunked_vs_full"] <= 1e-4


def test_a_unit_that_only_looks_dropped_is_refused(model, monkeypatch):
    mask = half_of_the_units(model)
    monkeypatch.setattr(type(mask), "apply_", lambda self, target: None)
    with pytest.raises(ExportError, match="not zero"):
        conversion_parity(model, mask=mask, chunk_frames=4, num_chunks=10)


def test_a_mask_that_differs_shows(report_and_kept, monkeypatch):
    monkeypatch.setattr(parity, "SCHEDULES", {"wrong": (Constant(0.21), reference.constant_amounts)})
    monkeypatch.setattr(parity, "NUM_ROUNDS", 2)
    masks = mask_parity()
    assert masks == {"wrong": {"distinct": False, "ties": False}}
    assert summarise(report_and_kept[0], masks)["reference_masks_equal"] is False


def test_the_model_without_a_ticket_has_the_size_of_an4():
    model = random_an4_model()
    assert 0.8e6 < sum(parameter.numel() for parameter in model.parameters()) <= 1.5e6
    assert all(parameter.std() > 0.1 for parameter in model.parameters() if parameter.dim() == 1)
    mask = half_of_the_units(model)
    assert mask.density == pytest.approx(0.5, abs=0.02)
