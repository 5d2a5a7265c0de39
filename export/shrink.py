"""Shrinking: a masked Conformer becomes a smaller one that computes the same.

torch-pruning cuts the tensors, from explicit indices; the unit groups' index maps cut them a second time, and the two
must agree to the bit. Nothing of the cut model itself survives: the config with the new widths and the weights are the
whole truth, and the result is built from them through the constructor.

Axes: M rows, D model width.
"""

import copy

import torch
import torch.nn.functional as F
import torch_pruning
from torch import nn

from export.errors import ExportError
from lottery_train.models.conformer import Conformer

_FF_SCALE = 0.5


def removable_units(model, *, mask):
    """Return which units a mask leaves: group name -> bool (size,), False where all that a unit owns is masked."""
    return {group.name: group.kept_units(mask) for group in model.unit_groups()}


def shrink(model, keep_units):
    """Return a Conformer without the units that `keep_units` drops; a group without any unit left is dropped whole.

    What a dropped module still adds, the bias of its last layer, moves into the layer before it.

    Args:
        model: Conformer whose dropped units are zero everywhere they own something.
        keep_units: group name -> bool (size,), one entry for each of `model.unit_groups()`.
    Returns:
        Conformer in evaluation mode, with a config of its own; `model` is left as it is.
    Raises:
        ValueError: an unknown or missing group, or an entry that is not bool (size,).
        ExportError: nothing is dropped, or a dropped unit is not zero.
    """
    groups = {group.name: group for group in model.unit_groups()}
    _check(groups, keep_units, weights=model.state_dict())
    cut = copy.deepcopy(model).eval()
    removed = [name for name in groups if not keep_units[name].any()]
    _fold_constants(cut, removed=removed)
    expected = _slice(cut.state_dict(), groups, keep_units=keep_units, removed=removed)
    for name in removed:
        parent, _, attribute = name.rpartition(".")
        setattr(cut.get_submodule(parent), attribute, None)
    _prune(cut, [group for name, group in groups.items() if name not in removed], keep_units=keep_units)
    _require_equal(cut.state_dict(), expected)
    shrunk = Conformer(model.config.with_blocks(_widths(model.config, keep_units)))
    shrunk.load_state_dict(expected)
    return shrunk.eval()


def _check(groups, keep_units, *, weights):
    if set(groups) != set(keep_units):
        odd = sorted(set(groups) ^ set(keep_units))
        raise ValueError(f"keep_units must name every unit group once; missing or unknown: {', '.join(odd)}")
    for name, group in groups.items():
        keep = keep_units[name]
        if keep.dtype != torch.bool or tuple(keep.shape) != (group.size,):
            raise ValueError(f"{name}: keep must be bool ({group.size},), got {keep.dtype} {tuple(keep.shape)}")
        for member in group.members:
            alive = member.slices(weights[member.tensor]).any(1) & ~keep
            if alive.any():
                unit = int(alive.nonzero()[0])
                raise ExportError(
                    f"{name}: unit {unit} is to be removed, but {member.tensor} is not zero there",
                    hint="the mask and the weights do not belong together: train the level again",
                )
    if all(keep.all() for keep in keep_units.values()):
        raise ExportError(
            "nothing to shrink: no attention head, feed-forward neuron or convolution channel is masked as a whole",
            hint="export without --structured, or train with --granularity unit",
        )


def _fold_constants(model, *, removed):
    """Move the output bias of every dropped module into the last layer that writes to the residual stream before it.

    Between the two nothing reads the stream, so every later layer sees the same sum.
    """
    writer, scale = model.subsampling.conv2.bias, 1.0
    for number, block in enumerate(model.blocks):
        for name, last, factor in (
            ("ff1", "down", _FF_SCALE),
            ("attention", "out", 1.0),
            ("convolution", "pointwise_out", 1.0),
            ("ff2", "down", _FF_SCALE),
        ):
            module = getattr(block, name)
            if module is None:
                continue
            bias = getattr(module, last).bias
            if f"blocks.{number}.{name}" in removed:
                with torch.no_grad():
                    writer += bias * (factor / scale)
            else:
                writer, scale = bias, factor
        writer, scale = block.norm.bias, 1.0


def _slice(weights, groups, *, keep_units, removed):
    """Cut a state_dict by the unit groups' index maps alone."""
    gone = tuple(f"{name}." for name in removed)
    sliced = {name: tensor for name, tensor in weights.items() if not name.startswith(gone)}
    for name, group in groups.items():
        for member in group.members if name not in removed else ():
            index = group.kept_indices(member, keep=keep_units[name])
            sliced[member.tensor] = sliced[member.tensor].index_select(member.axis, index)
    return sliced


class _Couplings(nn.Module):
    """A forward pass with the model's channel couplings and nothing else, for torch-pruning to trace.

    It traces autograd graphs and cannot follow the reshaping of attention, chunk windows or concatenated weights; the
    sum of query, key and value couples the same channels. A head's position bias couples with nothing that it could
    follow: it is an output of its own.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x_MD):
        x, outputs = x_MD, []
        for block in self.model.blocks:
            if block.ff1 is not None:
                x = x + self._feed_forward(block.ff1, x)
            if block.attention is not None:
                layer, y = block.attention, block.attention.norm(x)
                x = x + layer.out(layer.query(y) + layer.key(y) + layer.value(y))
                outputs.append(layer.position_bias[None] * 1)
            if block.convolution is not None:
                x = x + self._convolution(block.convolution, x)
            if block.ff2 is not None:
                x = x + self._feed_forward(block.ff2, x)
            x = block.norm(x)
        return [self.model.head(x), *outputs]

    @staticmethod
    def _feed_forward(layer, x):
        return layer.down(F.silu(layer.up(layer.norm(x))))

    @staticmethod
    def _convolution(layer, x):
        signal, gate = layer.pointwise_in(layer.norm(x)).chunk(2, -1)
        mixed = signal * torch.sigmoid(gate) * layer.depthwise.weight.sum(1) + layer.depthwise.bias
        return layer.pointwise_out(mixed * layer.channel_norm.gain)

    def bare_parameters(self):
        """Return the parameters outside of Linear and LayerNorm, with the axis that their channels lie on."""
        found = []
        for block in self.model.blocks:
            if block.attention is not None:
                found.append(block.attention.position_bias)
            if block.convolution is not None:
                depthwise = block.convolution.depthwise
                found += [depthwise.weight, depthwise.bias, block.convolution.channel_norm.gain]
        return [(parameter, 0) for parameter in found]


def _prune(model, groups, *, keep_units):
    """Let torch-pruning drop units from `model` in place, starting from the layer that consumes them."""
    couplings = _Couplings(model)
    with torch.enable_grad():
        graph = torch_pruning.DependencyGraph().build_dependency(
            couplings,
            example_inputs=(torch.zeros(2, model.config.model_width),),
            unwrapped_parameters=couplings.bare_parameters(),
        )
    for group in groups:
        keep = keep_units[group.name]
        if keep.all():
            continue
        for member in group.members:
            index = member.index[~keep].flatten().tolist()
            if member.axis == 1:
                consumer = model.get_submodule(member.tensor.removesuffix(".weight"))
                found = graph.get_pruning_group(consumer, torch_pruning.prune_linear_in_channels, index)
            elif member.tensor.endswith(".position_bias"):
                bias = model.get_parameter(member.tensor)
                found = graph.get_pruning_group(bias, torch_pruning.prune_parameter_out_channels, index)
            else:
                continue
            found.prune(record_history=False)


def _require_equal(found, expected):
    """Raise unless torch-pruning and the index maps cut the same tensors."""
    if set(found) != set(expected):
        odd = sorted(set(found) ^ set(expected))
        raise ExportError(f"torch-pruning and the unit groups disagree about the tensors {', '.join(odd)}")
    for name, tensor in expected.items():
        if not torch.equal(found[name], tensor):
            shapes = f"{tuple(found[name].shape)} and {tuple(tensor.shape)}"
            raise ExportError(f"torch-pruning and the unit groups disagree about {name}: {shapes}")


def _widths(config, keep_units):
    """Return the BlockWidths that `keep_units` leaves."""

    def count(name, width):
        return int(keep_units[name].sum()) if name in keep_units else width

    blocks = []
    for number, widths in enumerate(config.blocks):
        prefix = f"blocks.{number}"
        blocks.append(
            type(widths)(
                ff1=count(f"{prefix}.ff1", widths.ff1),
                heads=count(f"{prefix}.attention", widths.heads),
                conv=count(f"{prefix}.convolution", widths.conv),
                ff2=count(f"{prefix}.ff2", widths.ff2),
                conv_norm=widths.conv_norm,
            )
        )
    return blocks
