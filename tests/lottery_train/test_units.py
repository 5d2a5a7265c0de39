"""UnitGroup: what a unit owns, both ways; and a removed unit leaves no trace in the model's output."""

import dataclasses

import pytest
import torch

from lottery_train.errors import ConfigError
from lottery_train.models.config import ConformerConfig
from lottery_train.models.conformer import Conformer
from lottery_train.pruning import Mask
from lottery_train.units import Member, UnitGroup


def _head_group():
    """Two heads of three rows, with flat position biases of five entries a head."""
    members = (
        Member.strided("query.weight", size=2, width=3),
        Member.strided("query.bias", size=2, width=3),
        Member.strided("out.weight", size=2, width=3, axis=1),
        Member.strided("position", size=2, width=5),
    )
    return UnitGroup(name="attention", kind="head", size=2, members=members)


SHAPES = {"query.weight": (6, 4), "query.bias": (6,), "out.weight": (4, 6), "position": (10,)}


def test_expand_drops_everything_a_head_owns_and_nothing_else():
    expanded = _head_group().expand(torch.tensor([False, True]), shapes=SHAPES)
    assert {name: tuple(keep.shape) for name, keep in expanded.items()} == SHAPES
    assert expanded["query.weight"].tolist() == [[False] * 4] * 3 + [[True] * 4] * 3
    assert expanded["query.bias"].tolist() == [False] * 3 + [True] * 3
    assert expanded["out.weight"].tolist() == [[False] * 3 + [True] * 3] * 4
    assert expanded["position"].tolist() == [False] * 5 + [True] * 5
    mask = Mask(SHAPES)
    mask.update(expanded)


def test_glu_halves_go_together():
    group = UnitGroup(name="conv", kind="conv", size=3, members=(Member.strided("w", size=3, offsets=(0, 3)),))
    keep = group.expand(torch.tensor([True, False, True]), shapes={"w": (6, 2)})["w"]
    assert keep[:, 0].tolist() == [True, False, True, True, False, True]
    assert group.kept_indices(group.members[0], keep=torch.tensor([True, False, True])).tolist() == [0, 2, 3, 5]


@pytest.mark.parametrize("keep", [[True, True], [True, False], [False, True], [False, False]])
def test_kept_units_reverses_expand(keep):
    mask = Mask(SHAPES)
    mask.update(_head_group().expand(torch.tensor(keep), shapes=SHAPES))
    assert _head_group().kept_units(mask).tolist() == keep


def test_a_unit_with_anything_left_is_kept():
    mask = Mask(SHAPES)
    mask.update(_head_group().expand(torch.tensor([False, False]), shapes=SHAPES))
    mask["position"][7] = True
    assert _head_group().kept_units(mask).tolist() == [False, True]
    without_bias = Mask({name: shape for name, shape in SHAPES.items() if name != "query.bias"})
    for name in without_bias:
        without_bias[name] = torch.zeros(SHAPES[name], dtype=torch.bool)
    assert _head_group().kept_units(without_bias).tolist() == [True, True]


def test_indices_may_be_nested_tuples():
    member = Member("w", 0, ((0, 2), (1, 3)))
    assert torch.equal(member.index, torch.tensor([[0, 2], [1, 3]]))
    assert member.slices(torch.arange(8).view(4, 2)).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_a_unit_may_own_a_row_and_a_column_of_one_matrix():
    members = (Member.strided("w", size=3), Member.strided("w", size=3, axis=1))
    group = UnitGroup(name="loop", kind="lstm", size=3, members=members)
    assert group.tensors == ("w",)
    keep = group.expand(torch.tensor([True, False, True]), shapes={"w": (3, 3)})["w"]
    assert keep.tolist() == [[True, False, True], [False] * 3, [True, False, True]]
    mask = Mask({"w": (3, 3)})
    mask["w"] = keep
    assert group.kept_units(mask).tolist() == [True, False, True]


def test_a_group_below_a_module_is_named_after_it():
    below = _head_group().below("encoder", outside=("out.weight",))
    assert below.name == "encoder.attention"
    assert below.tensors == ("encoder.query.weight", "encoder.query.bias", "out.weight", "encoder.position")


def test_impossible_groups_are_refused():
    with pytest.raises(ValueError, match="owned twice"):
        Member("w", 0, ((0, 1), (1, 2)))
    with pytest.raises(ValueError, match=r"index must be \(size, n\)"):
        Member("w", 0, (0, 1))
    with pytest.raises(ValueError, match="upwards"):
        Member("w", -1, ((0,),))
    with pytest.raises(ValueError, match="w has 2 units, not 3"):
        UnitGroup(name="g", kind="ff", size=3, members=(Member.strided("w", size=2),))
    with pytest.raises(ValueError, match="is not one of conv, ff, head"):
        UnitGroup(name="g", kind="gate", size=2, members=(Member.strided("w", size=2),))
    with pytest.raises(ValueError, match="named twice"):
        UnitGroup(name="g", kind="ff", size=2, members=(Member.strided("w", size=2),) * 2)


def test_groups_are_checked_against_the_model():
    group, keep = _head_group(), torch.tensor([True, False])
    with pytest.raises(ConfigError, match="the model has no parameter position"):
        group.expand(keep, shapes={name: shape for name, shape in SHAPES.items() if name != "position"})
    with pytest.raises(ConfigError, match=r"out.weight has shape \(4, 5\), too small on axis 1"):
        group.expand(keep, shapes={**SHAPES, "out.weight": (4, 5)})
    with pytest.raises(ValueError, match=r"keep must be bool \(2,\)"):
        group.expand(torch.tensor([1.0, 0.0]), shapes=SHAPES)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = ConformerConfig.uniform(
        num_blocks=1, ff=10, heads=3, conv=8, vocab_size=7, model_width=12, head_width=4, stem_width=6, num_mels=8,
        conv_kernel=3, left_context_frames=4, max_chunk_frames=4,
    )  # fmt: skip
    made = Conformer(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


@pytest.mark.parametrize("number", range(4))
def test_masked_equals_the_smaller_model(model, number):
    """What a group says its units own is all of it: without them, the constructor's smaller model computes the same."""
    group = model.unit_groups()[number]
    keep = torch.ones(group.size, dtype=torch.bool)
    keep[1] = False
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    shrunk = dict(weights)
    for member in group.members:
        shrunk[member.tensor] = weights[member.tensor].index_select(member.axis, group.kept_indices(member, keep=keep))
    field = {"attention": "heads", "convolution": "conv"}.get(group.name.split(".")[-1], group.name.split(".")[-1])
    widths = dataclasses.replace(model.config.blocks[0], **{field: group.size - 1})
    small = Conformer(model.config.with_blocks([widths])).eval()
    small.load_state_dict(shrunk)
    shapes = {name: weight.shape for name, weight in weights.items()}
    for name, kept in group.expand(keep, shapes=shapes).items():
        weights[name].masked_fill_(~kept, 0)
    masked = Conformer(model.config).eval()
    masked.load_state_dict(weights)
    features = torch.randn(1, 4 * 8 + 3, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        dense_out, masked_out, small_out = (each(features, chunk=4) for each in (model, masked, small))
    assert (dense_out - masked_out).abs().max() > 1e-3
    # Float32: the same sums with zeros left out, so in another order.
    torch.testing.assert_close(masked_out, small_out, rtol=0, atol=1e-5)
