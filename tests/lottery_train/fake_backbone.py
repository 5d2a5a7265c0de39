"""A fourth backbone as its author would write it: one file. It sees one frame at a time."""

from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from lottery_train.models.backbone import ModelSettings, scaled_width
from lottery_train.models.ctc import CtcBackbone
from lottery_train.units import Member, UnitGroup


@dataclass(frozen=True, kw_only=True)
class FrameSettings(ModelSettings):
    """A network without a memory.

    Args:
        width: neurons.
    """

    backbone: str = "frame"
    width: int = 32
    dropout: float = 0.0

    def config(self, *, vocab_size):
        return FrameConfig(vocab_size=vocab_size, width=self.width)


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    backbone = "frame"

    vocab_size: int
    width: int

    def to_json(self):
        return asdict(self)

    @classmethod
    def from_json(cls, value):
        return cls(**value)

    def scaled(self, factor):
        return replace(self, width=scaled_width(self.width, factor))


class FrameNetwork(CtcBackbone):
    Settings, Config = FrameSettings, FrameConfig
    middle = 1

    def __init__(self, config):
        super().__init__()
        self.config, self.hidden_width = config, config.width
        self.register_buffer("mean", torch.zeros(80))
        self.up = nn.Linear(4 * 80, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def set_normalisation(self, *, mean, deviation):
        self.mean.copy_(torch.as_tensor(mean))

    def forward(self, x_BTF, *, chunk, lengths=None, tap=None):
        x = (x_BTF - self.mean)[:, :-3].unflatten(1, (-1, 4)).flatten(2)
        hidden = F.silu(self.up(x / 4))
        return F.log_softmax(self.head(hidden).float(), -1), hidden

    def unit_groups(self):
        size = self.config.width
        members = (
            Member.strided("up.weight", size=size),
            Member.strided("up.bias", size=size),
            Member.strided("head.weight", size=size, axis=1),
        )
        return [UnitGroup(name="up", kind="ff", size=size, members=members)]
