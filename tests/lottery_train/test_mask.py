"""Mask: validation, counts, set operations, and a file that is not trusted."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from lottery_train.errors import TicketError
from lottery_train.pruning import Mask

SHAPES = {"b.weight": (5, 7), "a.weight": (3, 4, 1), "b.bias": (5,), "scalar": (), "empty": (0, 4)}


@pytest.fixture
def mask():
    generator = torch.Generator().manual_seed(0)
    result = Mask(SHAPES, prunable=("b.weight", "a.weight"))
    for name, shape in SHAPES.items():
        result[name] = torch.rand(shape, generator=generator) < 0.5
    return result


def test_a_new_mask_keeps_everything():
    mask = Mask.dense({"w": torch.zeros(4, 3), "v": torch.zeros(2)})
    assert mask.density == 1.0
    assert mask.num_kept == mask.num_weights == 14
    assert mask.prunable == ("w", "v")
    assert Mask({}).density == 1.0


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(5, 7),
        torch.ones(5, 7, dtype=torch.uint8),
        torch.ones(7, 5, dtype=torch.bool),
        torch.ones(7, 5, dtype=torch.bool).t(),
        np.ones((5, 7), dtype=bool),
    ],
    ids=["float", "uint8", "shape", "strides", "numpy"],
)
def test_a_wrong_value_is_refused_on_set(mask, value):
    before = mask["b.weight"].clone()
    with pytest.raises(ValueError, match=r"^b\.weight: "):
        mask["b.weight"] = value
    assert torch.equal(mask["b.weight"], before)


def test_names_are_fixed(mask):
    with pytest.raises(KeyError, match="not a parameter of this mask"):
        mask["c.weight"] = torch.ones(2, dtype=torch.bool)
    with pytest.raises(TypeError, match="keeps the names"):
        del mask["b.weight"]
    with pytest.raises(ValueError, match="unknown: \\['x'\\]"):
        Mask({"w": (2,)}, prunable=("x",))


def test_density_counts_prunable_weights_only():
    mask = Mask({"w": (2, 4), "v": (8,), "bias": (2,)}, prunable=("w", "v"))
    mask["w"] = torch.tensor([[True, False, False, False], [True, True, True, True]])
    mask["bias"] = torch.tensor([False, False])
    assert (mask.num_kept, mask.num_weights, mask.density) == (13, 16, 13 / 16)
    assert mask.density_by_layer() == {"w": 5 / 8, "v": 1.0}


@pytest.mark.parametrize("kind", ["module", "dict"])
def test_apply_zeroes_dropped_entries_only_and_clears_nan(kind):
    layer = nn.Linear(6, 5)
    original = layer.weight.detach().clone()
    mask = Mask({"weight": (5, 6)})
    mask["weight"] = torch.rand(5, 6) < 0.4
    with torch.no_grad():
        layer.weight[~mask["weight"]] = float("nan")
    mask.apply_(layer if kind == "module" else dict(layer.named_parameters()))
    assert torch.equal(layer.weight[mask["weight"]], original[mask["weight"]])
    dropped = layer.weight.detach()[~mask["weight"]]
    # Bitwise: a negative zero would survive a comparison and spoil the bytes on disk.
    assert torch.equal(dropped.view(torch.int32), torch.zeros_like(dropped, dtype=torch.int32))


def test_apply_names_the_parameter_that_does_not_fit():
    with pytest.raises(ValueError, match="weight: the mask has shape \\(2, 2\\), the parameter is \\(3, 2\\)"):
        Mask({"weight": (2, 2)}).apply_(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="other: .* missing"):
        Mask({"other": (2, 2)}).apply_(nn.Linear(2, 3))


def test_and_subset_and_equality(mask):
    other = mask.clone()
    other["b.weight"] = ~mask["b.weight"]
    both = mask & other
    assert not both["b.weight"].any()
    assert torch.equal(both["a.weight"], mask["a.weight"])
    assert both.is_subset_of(mask)
    assert both.is_subset_of(other)
    assert not mask.is_subset_of(both)
    assert mask == mask.clone()
    assert mask != other
    assert mask != Mask(SHAPES)
    assert mask != "mask"
    with pytest.raises(ValueError, match="different parameters"):
        mask.is_subset_of(Mask({"w": (2,)}))


def test_distance_counts_prunable_weights_that_one_keeps_and_the_other_does_not():
    first, second = (Mask({"w": (2, 4), "bias": (4,)}, prunable=("w",)) for _ in range(2))
    first["w"] = torch.tensor([[True, True, False, False], [False] * 4])
    second["w"] = torch.tensor([[False, True, True, False], [False] * 4])
    second["bias"] = torch.zeros(4, dtype=torch.bool)
    assert first.distance(second) == second.distance(first) == 2 / 8
    assert first.distance(first) == 0
    second["w"] = torch.tensor([[False] * 4, [True, True, False, False]])
    assert first.distance(second) == 2 * first.density, "as far as two masks of a quarter can be"
    with pytest.raises(ValueError, match="different parameters"):
        first.distance(Mask({"w": (2, 4)}))


def test_clone_shares_no_memory(mask):
    copy = mask.clone()
    copy["b.weight"].logical_not_()
    assert copy != mask


def test_a_file_round_trip_gives_equal_masks_and_bytes(mask, tmp_path):
    mask.save(tmp_path / "mask.safetensors")
    loaded = Mask.load(tmp_path / "mask.safetensors")
    assert loaded == mask
    assert list(loaded) == list(mask)
    assert loaded.prunable == mask.prunable
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "mask.safetensors").read_bytes()


def test_a_file_holds_one_bit_an_entry(tmp_path):
    Mask({"w": (1000, 80)}).save(tmp_path / "mask.safetensors")
    assert (tmp_path / "mask.safetensors").stat().st_size < 10_000 + 1000


def _write(path, *, tensors=None, **changes):
    header = {"version": 1, "shapes": [["w", [3, 3]]], "prunable": ["w"], **changes}
    tensors = {"w": np.array([0xFF, 0x80], dtype=np.uint8)} if tensors is None else tensors
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"lottery_mask": json.dumps(header)}))


def test_the_hand_written_file_loads(tmp_path):
    _write(tmp_path / "mask.safetensors")
    assert Mask.load(tmp_path / "mask.safetensors") == Mask({"w": (3, 3)})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"shapes": [["w", [3, 300]]]},
        {"shapes": [["w", [-3, -3]]]},
        {"shapes": [["w", [3.0, 3]]]},
        {"shapes": [["w", [True, 9]]]},
        {"shapes": [["w", [0, 10**30]]], "tensors": {"w": np.zeros(0, dtype=np.uint8)}},
        {"shapes": [["w", [0, 2**63 - 1, 4]]], "tensors": {"w": np.zeros(0, dtype=np.uint8)}},
        {"shapes": [["w", 9]]},
        {"shapes": [["w", [3, 3]], ["w", [3, 3]]]},
        {"shapes": [["v", [3, 3]]]},
        {"shapes": 7},
        {"prunable": ["v"]},
        {"prunable": "w"},
        {"prunable": ["w", "w"]},
        {"tensors": {"w": np.array([0xFF, 0x81], dtype=np.uint8)}},
        {"tensors": {"w": np.array([0xFF], dtype=np.uint8)}},
        {"tensors": {"w": np.array([0xFF, 0x80], dtype=np.int16)}},
        {"tensors": {"w": np.array([[0xFF, 0x80]], dtype=np.uint8)}},
        {"tensors": {"w": np.array([0xFF, 0x80], dtype=np.uint8), "v": np.zeros(1, dtype=np.uint8)}},
    ],
    ids=repr,
)
def test_a_tampered_file_is_refused_by_name(changes, tmp_path):
    _write(tmp_path / "mask.safetensors", **changes)
    with pytest.raises(TicketError, match=r"mask\.safetensors: not a mask of version 1"):
        Mask.load(tmp_path / "mask.safetensors")


def test_broken_and_missing_files_are_refused_by_name(mask, tmp_path):
    path = tmp_path / "mask.safetensors"
    with pytest.raises(TicketError, match=r"mask\.safetensors: no such mask file"):
        Mask.load(path)
    mask.save(path)
    whole = path.read_bytes()
    foreign = safetensors.numpy.save({"w": np.zeros(3, dtype=np.float32)})
    deep = safetensors.numpy.save({}, metadata={"lottery_mask": "[" * 100_000})
    for broken in (whole[:-1], whole[:20], b"", b"not safetensors", foreign, deep):
        path.write_bytes(broken)
        with pytest.raises(TicketError, match=r"mask\.safetensors: not a mask"):
            Mask.load(path)
