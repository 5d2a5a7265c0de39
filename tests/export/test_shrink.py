"""Masked == shrunk: for each kind of unit, for all of them, and where a whole module goes."""

import pytest
import torch

from export.errors import ExportError
from export.shrink import removable_units, shrink
from lottery_train.models import Conformer, count_weights
from tests.export.models import drawn_units, random_model, small_config, unit_mask

WHOLE = ("blocks.0.ff1", "blocks.0.attention", "blocks.1.convolution", "blocks.1.ff2")


def masked_model(*, keep_units=None, config=None, **draw):
    model = random_model(config or small_config())
    keep_units = keep_units or drawn_units(model, **draw)
    unit_mask(model, keep_units).apply_(model)
    return model, keep_units


def difference(first, second, *, chunk=8, dtype=torch.float64):
    """Largest difference of log-probabilities on 10 chunks of two utterances, without the rounding of float32."""
    features = torch.randn(2, 4 * 10 * chunk + 3, 80, generator=torch.Generator().manual_seed(1)) * 3 - 8
    with torch.no_grad():
        outputs = [model.to(dtype)(features.to(dtype), chunk=chunk) for model in (first, second)]
    return (outputs[0] - outputs[1]).abs().max().item()


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param({"kinds": ("head",)}, id="heads"),
        pytest.param({"kinds": ("ff",)}, id="feed-forward neurons"),
        pytest.param({"kinds": ("conv",)}, id="convolution channels"),
        pytest.param({}, id="all kinds"),
        pytest.param({"dropped": ("blocks.0.attention",)}, id="all heads of a block"),
        pytest.param({"dropped": WHOLE}, id="four whole modules"),
    ],
)
def test_masked_equals_shrunk(draw):
    masked, keep_units = masked_model(**draw)
    shrunk = shrink(masked, keep_units)
    assert count_weights(shrunk.config) < count_weights(masked.config)
    # The bound of the export; in float32 only the order of additions differs.
    assert difference(masked, shrunk, dtype=torch.float32) <= 1e-5
    # log_softmax runs in float32 even here: one unit in the last place of values up to 8.
    assert difference(masked, shrunk) <= 1e-6


def test_every_module_of_a_block_may_go():
    everything = tuple(group.name for group in random_model(small_config()).unit_groups())
    masked, keep_units = masked_model(dropped=everything)
    shrunk = shrink(masked, keep_units)
    assert [(w.ff1, w.heads, w.conv, w.ff2) for w in shrunk.config.blocks] == [(0, 0, 0, 0)] * 2
    assert difference(masked, shrunk) <= 1e-6


def test_the_equality_would_notice_a_lost_bias():
    """The dropped modules' output biases matter: without folding them the models differ visibly."""
    masked, keep_units = masked_model(dropped=WHOLE)
    shrunk = shrink(masked, keep_units)
    without = Conformer(shrunk.config).eval()
    weights = shrunk.state_dict() | {"subsampling.conv2.bias": masked.state_dict()["subsampling.conv2.bias"]}
    without.load_state_dict(weights)
    assert difference(masked, without) > 1e-3


def test_widths_are_what_the_mask_keeps():
    masked, keep_units = masked_model(dropped=("blocks.1.attention",))
    config = shrink(masked, keep_units).config
    for number, widths in enumerate(config.blocks):
        found = {"ff1": widths.ff1, "attention": widths.heads, "convolution": widths.conv, "ff2": widths.ff2}
        assert found == {name: int(keep_units[f"blocks.{number}.{name}"].sum()) for name in found}
        # The divisor of the RMS norm stays the dense one: that is what makes masked == shrunk.
        assert widths.conv_norm == masked.config.blocks[number].conv_norm
    assert config.model_width == masked.config.model_width


def test_config_and_weights_are_the_whole_truth():
    masked, keep_units = masked_model()
    shrunk = shrink(masked, keep_units)
    rebuilt = Conformer(type(shrunk.config).from_json(shrunk.config.to_json())).eval()
    rebuilt.load_state_dict(shrunk.state_dict())
    assert difference(shrunk, rebuilt) == 0
    # what was kept is bit-identical to the masked model's
    name = "blocks.1.ff1.up.weight"
    assert torch.equal(shrunk.state_dict()[name], masked.state_dict()[name][keep_units["blocks.1.ff1"]])


def test_the_masked_model_is_left_alone():
    masked, keep_units = masked_model(dropped=WHOLE)
    before = {name: tensor.clone() for name, tensor in masked.state_dict().items()}
    shrink(masked, keep_units)
    after = masked.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shrinking_again_goes_on_from_the_shrunk_model():
    masked, keep_units = masked_model()
    once = shrink(masked, keep_units)
    keep_again = drawn_units(once, seed=9)
    unit_mask(once, keep_again).apply_(once)
    twice = shrink(once, keep_again)
    assert difference(once, twice) <= 1e-6


def test_units_come_from_the_mask():
    masked, keep_units = masked_model(dropped=("blocks.0.ff2",))
    found = removable_units(masked, mask=unit_mask(masked, keep_units))
    assert all(torch.equal(found[name], keep) for name, keep in keep_units.items())


def test_an_unstructured_mask_leaves_nothing_to_shrink():
    model = random_model(small_config())
    mask = unit_mask(model, drawn_units(model, density=1.0))
    name = "blocks.0.ff1.up.weight"
    mask[name] = torch.rand(mask[name].shape) < 0.1
    mask.apply_(model)
    with pytest.raises(ExportError, match="nothing to shrink") as caught:
        shrink(model, removable_units(model, mask=mask))
    assert "--granularity unit" in caught.value.hint


def test_a_unit_that_is_not_zero_is_refused():
    masked, keep_units = masked_model()
    name = "blocks.1.convolution"
    kept = int(keep_units[name].nonzero()[0])
    keep_units[name][kept] = False
    with pytest.raises(ExportError, match=rf"{name}: unit {kept} is to be removed, but .* is not zero"):
        shrink(masked, keep_units)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda keep: keep.pop("blocks.0.ff1"), id="missing group"),
        pytest.param(lambda keep: keep.update({"blocks.7.ff1": torch.ones(4, dtype=torch.bool)}), id="unknown group"),
        pytest.param(lambda keep: keep.update({"blocks.0.ff1": keep["blocks.0.ff1"][1:]}), id="too short"),
        pytest.param(lambda keep: keep.update({"blocks.0.ff1": keep["blocks.0.ff1"].float()}), id="not bool"),
    ],
)
def test_tampered_keep_sets_are_refused(tamper):
    masked, keep_units = masked_model()
    tamper(keep_units)
    with pytest.raises(ValueError):
        shrink(masked, keep_units)
