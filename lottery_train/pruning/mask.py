"""Mask: parameter name -> bool tensor, True where the entry is kept.

On disk a mask is a safetensors file: each tensor is a uint8 vector of numpy.packbits (big-endian bit order, C order,
zero bits at the end), and the metadata key `lottery_mask` holds JSON with the version, the shapes in order, and the
prunable names in order.
"""

import json
import math
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch

from lottery_train.errors import TicketError
from runtime.files import write_atomic
from runtime.foreign import short

_METADATA_KEY = "lottery_mask"
_VERSION = 1
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Mask(MutableMapping):
    """Keep bits of some parameters; every value is validated when it is set.

    Args:
        shapes: parameter name -> shape. All entries start as kept.
        prunable: names, in ranking order, of the weights that `density` and the pruning rates count (default: all).
            A structured mask also names the biases and gains that fall with a unit: they are masked, not counted.
    """

    def __init__(self, shapes, *, prunable=None):
        self._keep = {name: torch.ones(tuple(shape), dtype=torch.bool) for name, shape in shapes.items()}
        self._prunable = tuple(self._keep if prunable is None else prunable)
        unknown = [name for name in self._prunable if name not in self._keep]
        if unknown or len(set(self._prunable)) != len(self._prunable):
            raise ValueError(f"prunable names must be masked parameters, each once; unknown: {short(unknown)}")

    @classmethod
    def dense(cls, weights, *, names=None):
        """Return the mask that keeps everything of the tensors `names` (default: all) of a name -> tensor mapping."""
        return cls({name: weights[name].shape for name in (weights if names is None else names)})

    @property
    def prunable(self):
        """Names of the counted weights in ranking order."""
        return self._prunable

    @property
    def shapes(self):
        """Parameter name -> shape."""
        return {name: tuple(keep.shape) for name, keep in self._keep.items()}

    def __getitem__(self, name):
        return self._keep[name]

    def __setitem__(self, name, keep):
        if name not in self._keep:
            raise KeyError(f"{name}: not a parameter of this mask")
        shape = tuple(self._keep[name].shape)
        if not isinstance(keep, torch.Tensor) or keep.dtype != torch.bool:
            raise ValueError(f"{name}: a mask is a bool tensor, got {getattr(keep, 'dtype', type(keep).__name__)}")
        if tuple(keep.shape) != shape:
            raise ValueError(f"{name}: the mask has shape {tuple(keep.shape)}, the parameter {shape}")
        if not keep.is_contiguous():
            raise ValueError(f"{name}: the mask must be contiguous")
        self._keep[name] = keep

    def __delitem__(self, name):
        raise TypeError("a mask keeps the names it was made with")

    def __iter__(self):
        return iter(self._keep)

    def __len__(self):
        return len(self._keep)

    def __eq__(self, other):
        if not isinstance(other, Mask):
            return NotImplemented
        return self._is_like(other) and all(torch.equal(keep.cpu(), other[name].cpu()) for name, keep in self.items())

    __hash__ = None

    def __and__(self, other):
        """Keep what both masks keep."""
        self._require_like(other)
        result = self.clone()
        for name, keep in self.items():
            result[name] = keep & other[name].to(keep.device)
        return result

    def __repr__(self):
        return f"Mask({len(self)} tensors, {self.num_kept} of {self.num_weights} prunable weights kept)"

    def clone(self):
        """Return a copy that shares no memory."""
        result = Mask(self.shapes, prunable=self.prunable)
        for name, keep in self.items():
            result[name] = keep.clone()
        return result

    def to(self, device):
        """Return this mask on another device."""
        result = Mask(self.shapes, prunable=self.prunable)
        for name, keep in self.items():
            result[name] = keep.to(device)
        return result

    def apply_(self, target):
        """Zero every dropped entry in place.

        Call it after every optimizer step: masking in `forward` alone leaves the dropped weights non-zero on disk.

        Args:
            target: module, or mapping parameter name -> tensor, that holds every name of this mask.
        Raises:
            ValueError: a name is missing, or its shape differs.
        """
        tensors = target if isinstance(target, Mapping) else dict(target.named_parameters())
        with torch.no_grad():
            for name, keep in self.items():
                if name not in tensors or tensors[name].shape != keep.shape:
                    found = tuple(tensors[name].shape) if name in tensors else "missing"
                    raise ValueError(f"{name}: the mask has shape {tuple(keep.shape)}, the parameter is {found}")
                # The bits, not the floats: NaN * 0 is NaN and -1 * 0 is a negative zero. masked_fill_ is right, and ten
                # times slower on a CPU.
                tensors[name].view(_BITS[tensors[name].element_size()]).mul_(keep.to(tensors[name].device))

    @property
    def num_weights(self):
        """Number of prunable weights, kept or not."""
        return sum(self._keep[name].numel() for name in self._prunable)

    @property
    def num_kept(self):
        """Number of prunable weights that are kept."""
        return sum(int(self._keep[name].sum()) for name in self._prunable)

    @property
    def density(self):
        """Fraction of the prunable weights that is kept; 1 where there are none."""
        return self.num_kept / self.num_weights if self.num_weights else 1.0

    def density_by_layer(self):
        """Return prunable name -> fraction kept, in ranking order."""
        return {name: int(self._keep[name].sum()) / self._keep[name].numel() for name in self._prunable}

    def is_subset_of(self, other):
        """Return whether everything kept here is kept in `other` (pruning is monotone)."""
        self._require_like(other)
        return all(not bool((keep & ~other[name].to(keep.device)).any()) for name, keep in self.items())

    def distance(self, other):
        """Return the share of the prunable weights that one mask keeps and the other does not (Hamming distance)."""
        self._require_like(other)
        differing = sum(int((self[name] ^ other[name].to(self[name].device)).sum()) for name in self.prunable)
        return differing / max(self.num_weights, 1)

    def _is_like(self, other):
        return self.shapes == other.shapes and self.prunable == other.prunable

    def _require_like(self, other):
        if not self._is_like(other):
            raise ValueError("the two masks are of different parameters")

    def save(self, path):
        """Write the mask atomically. Equal masks give equal bytes."""
        packed = {name: np.packbits(keep.cpu().numpy().reshape(-1)) for name, keep in self.items()}
        header = {
            "version": _VERSION,
            "shapes": [[n, list(s)] for n, s in self.shapes.items()],
            "prunable": self.prunable,
        }
        write_atomic(path, safetensors.numpy.save(packed, metadata={_METADATA_KEY: json.dumps(header)}))

    @classmethod
    def load(cls, path):
        """Read a mask written by `save`; nothing in the file is trusted.

        Raises:
            TicketError: missing, damaged, of another version, or its sizes disagree.
        """
        path = Path(path)
        try:
            if not path.is_file():
                raise TicketError(f"{path}: no such mask file")
            with safetensors.safe_open(path, framework="np") as file:
                header = json.loads((file.metadata() or {})[_METADATA_KEY])
                names = file.keys()
                packed = {name: file.get_tensor(name) for name in names}
            return _unpack(header, packed)
        except OSError as error:
            raise TicketError(f"{path}: cannot read the mask: {error.strerror or error}") from error
        # Beside its own error: whatever a tensor's type or a number of the header leads numpy and torch to.
        except (
            safetensors.SafetensorError, ArithmeticError, AttributeError, KeyError, RuntimeError, TypeError, ValueError,
        ) as error:  # fmt: skip
            raise TicketError(
                f"{path}: not a mask of version {_VERSION}: {short(error)}",
                hint="run lottery-train again to rebuild this level",
            ) from error


def _unpack(header, packed):
    """Return the Mask of a JSON header; ValueError, KeyError, TypeError or RuntimeError say what is wrong."""
    if header["version"] != _VERSION:
        raise ValueError(f"version is {short(header['version'])}")
    shapes = dict(header["shapes"])
    if set(shapes) != set(packed) or len(shapes) != len(header["shapes"]):
        raise ValueError("the names of the tensors and of the shapes differ")
    if not isinstance(header["prunable"], list):
        raise TypeError("prunable is not a list")
    bits = {}
    for name, shape in shapes.items():
        if not isinstance(shape, list) or not all(type(extent) is int and extent >= 0 for extent in shape):
            raise ValueError(f"{short(name)}: shape {short(shape)} is not a list of sizes")
        count, array = math.prod(shape), packed[name]
        if array.dtype != np.uint8 or array.shape != ((count + 7) // 8,):
            raise ValueError(f"{short(name)}: {array.dtype} {array.shape} does not hold {short(count)} bits")
        flat = np.unpackbits(array)
        if flat[count:].any():
            raise ValueError(f"{short(name)}: the spare bits at the end are not zero")
        bits[name] = torch.from_numpy(flat[:count].astype(bool)).view(shape)
    mask = Mask(shapes, prunable=header["prunable"])
    mask.update(bits)
    return mask
