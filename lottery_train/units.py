"""Unit groups: what must go together when one head, feed-forward neuron, convolution channel or LSTM unit goes.

A unit owns slices of several tensors. This file is the only place that knows the couplings: the criterion scores
units with it, the mask is expanded by it, and the export shrinks tensors by it.
"""

import dataclasses
from collections.abc import Mapping

import torch

from lottery_train.errors import ConfigError

KINDS = ("conv", "ff", "head", "lstm")


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """The slices of one tensor that the units of a group own.

    Args:
        tensor: parameter name, as in `named_parameters()`.
        axis: axis of the tensor that the indices count along.
        index: int64 (size, n): row u lists the n indices that unit u owns. Nested sequences are converted.
    """

    tensor: str
    axis: int
    index: torch.Tensor

    def __post_init__(self):
        index = torch.as_tensor(self.index, dtype=torch.int64)
        if index.ndim != 2:
            raise ValueError(f"{self.tensor}: index must be (size, n), got shape {tuple(index.shape)}")
        if self.axis < 0 or (index.numel() and index.min() < 0):
            raise ValueError(f"{self.tensor}: axis and indices count from 0 upwards")
        if index.unique().numel() != index.numel():
            raise ValueError(f"{self.tensor}: an index is owned twice")
        object.__setattr__(self, "index", index)

    @classmethod
    def strided(cls, tensor, *, size, axis=0, width=1, offsets=(0,)):
        """Return a member whose unit u owns `offset + u * width ... offset + (u + 1) * width - 1` of every offset.

        A head of K rows is `width=K`; the two halves of a GLU over C channels are `offsets=(0, C)`.
        """
        index = torch.arange(size * width).view(size, width)
        return cls(tensor, axis, torch.cat([index + offset for offset in offsets], dim=1))

    def slices(self, value):
        """Return `value` (the tensor, or its mask or scores) as (size, everything a unit owns of it)."""
        picked = value.movedim(self.axis, 0)[self.index.to(value.device)]
        return picked.reshape(self.index.shape[0], -1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UnitGroup:
    """Units of one kind in one layer that can be removed one by one.

    Args:
        name: path of the layer, unique in a model.
        kind: one of `KINDS`.
        size: number of units before any is removed.
        members: every slice that the units own, weights, biases and gains alike: with all of it at zero, the masked
            model computes what the model without the units computes.
    Raises:
        ValueError: unknown kind, an index whose rows are not `size`, or a tensor named twice on one axis.
    """

    name: str
    kind: str
    size: int
    members: tuple[Member, ...]

    def __post_init__(self):
        object.__setattr__(self, "members", tuple(self.members))
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        for member in self.members:
            if member.index.shape[0] != self.size:
                raise ValueError(f"{self.name}: {member.tensor} has {member.index.shape[0]} units, not {self.size}")
        if len({(member.tensor, member.axis) for member in self.members}) != len(self.members):
            raise ValueError(f"{self.name}: a tensor is named twice on one axis")

    @property
    def tensors(self):
        """Names of the tensors that the group owns slices of, each once."""
        return tuple(dict.fromkeys(member.tensor for member in self.members))

    def below(self, prefix, *, outside=()):
        """Return the group in a model that holds this one's model as the module `prefix`.

        Args:
            outside: tensors that are not part of that module and keep their names.
        """
        members = tuple(
            member if member.tensor in outside else dataclasses.replace(member, tensor=f"{prefix}.{member.tensor}")
            for member in self.members
        )
        return dataclasses.replace(self, name=f"{prefix}.{self.name}", members=members)

    def check(self, shapes):
        """Raise ConfigError unless every member fits the tensors' shapes (name -> shape)."""
        for member in self.members:
            if member.tensor not in shapes:
                raise ConfigError(f"unit group {self.name}: the model has no parameter {member.tensor}")
            shape = tuple(shapes[member.tensor])
            if member.axis >= len(shape) or (member.index.numel() and member.index.max() >= shape[member.axis]):
                raise ConfigError(
                    f"unit group {self.name}: {member.tensor} has shape {shape}, too small on axis {member.axis}"
                )

    def expand(self, keep, *, shapes):
        """Expand one bit a unit to one bit an entry.

        Args:
            keep: bool (size,), True where the unit stays.
            shapes: tensor name -> shape, at least for this group's tensors.
        Returns:
            Tensor name -> bool keep tensor; entries that no unit owns are True.
        Raises:
            ValueError: `keep` is not bool (size,).
            ConfigError: a member does not fit its shape.
        """
        if keep.dtype != torch.bool or tuple(keep.shape) != (self.size,):
            raise ValueError(f"{self.name}: keep must be bool ({self.size},), got {keep.dtype} {tuple(keep.shape)}")
        self.check(shapes)
        expanded = {}
        for member in self.members:
            shape = tuple(shapes[member.tensor])
            along = torch.ones(shape[member.axis], dtype=torch.bool)
            along[member.index[~keep.cpu()].flatten()] = False
            view = [-1 if axis == member.axis else 1 for axis in range(len(shape))]
            kept = along.view(view).expand(shape)
            expanded[member.tensor] = (
                kept & expanded[member.tensor] if member.tensor in expanded else kept
            ).contiguous()
        return expanded

    def kept_units(self, mask: Mapping):
        """Return bool (size,): False where nothing a unit owns is kept. A tensor the mask does not name is kept."""
        kept = torch.zeros(self.size, dtype=torch.bool)
        for member in self.members:
            if member.tensor not in mask:
                return torch.ones(self.size, dtype=torch.bool)
            kept |= member.slices(mask[member.tensor].cpu()).any(1)
        return kept

    def kept_indices(self, member, *, keep):
        """Return the indices on `member.axis` that stay when the units with `keep` False go: int64, ascending."""
        return member.index[keep.cpu()].flatten().sort().values
