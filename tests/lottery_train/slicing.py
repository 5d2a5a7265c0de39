"""The oracle of unit groups: a masked model against the smaller one that the constructor makes of its kept slices."""

import torch

from lottery_train.models import make_model


def sliced_weights(weights, groups, *, keep):
    """Return a state_dict without the units that `keep` (group name -> bool (size,)) drops."""
    dropped = {}
    for group in groups:
        for member in group.members:
            place = dropped.setdefault((member.tensor, member.axis), set())
            place.update(member.index[~keep[group.name]].flatten().tolist())
    sliced = dict(weights)
    for (name, axis), gone in dropped.items():
        index = [place for place in range(weights[name].shape[axis]) if place not in gone]
        sliced[name] = sliced[name].index_select(axis, torch.tensor(index))
    return sliced


@torch.no_grad()
def assert_masked_equals_sliced(model, *, drop, shrink, run):
    """Drop units in both ways and compare what the models compute.

    Args:
        drop: group name -> units; other groups stay whole.
        shrink: (config, group name -> units kept) -> config of the smaller model.
        run: model -> tensor.
    """
    groups = model.unit_groups()
    assert set(drop) <= {group.name for group in groups}
    keep = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    for name, units in drop.items():
        keep[name][units] = False
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    small = make_model(shrink(model.config, {name: int(kept.sum()) for name, kept in keep.items()})).eval()
    small.load_state_dict(sliced_weights(weights, groups, keep=keep))
    shapes = {name: value.shape for name, value in weights.items()}
    for group in groups:
        for name, kept in group.expand(keep[group.name], shapes=shapes).items():
            weights[name].masked_fill_(~kept, 0)
    masked = make_model(model.config).eval()
    masked.load_state_dict(weights)
    dense_out, masked_out, small_out = (run(each) for each in (model, masked, small))
    assert (dense_out - masked_out).abs().max() > 1e-3
    # Float32: the same sums with zeros left out, so in another order.
    torch.testing.assert_close(masked_out, small_out, rtol=0, atol=1e-5)
