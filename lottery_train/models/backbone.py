"""What a backbone is: an acoustic model that trainer, search, controls and tickets know nothing particular about.

A backbone is one file with a settings dataclass, a frozen config and a module, and one line in `registry.py`.
Shapes: B batch, T encoder frames, N nodes a frame, D width of the layer half-way up, V symbols.
"""

from dataclasses import dataclass, fields

import torch
from torch import nn

from lottery_train.errors import ConfigError
from lottery_train.models.registry import load_backbone
from lottery_train.objective import Objective
from lottery_train.settings import Settings
from runtime.foreign import short

# Limits that no model comes near, those of docs/formats.md: a hostile config must not fill the memory.
MAX_WIDTH = 16384
MAX_LAYERS = 256
MAX_KERNEL = 1023


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The dense model, as a person sets it; a subclass adds its sizes and its own name as the default of `backbone`.

    Args:
        backbone: which network; another one starts from its own defaults, and has settings of its own.
    """

    part = "model"

    backbone: str

    def __post_init__(self):
        self.check_types()
        own = next(item.default for item in fields(self) if item.name == "backbone")
        self.require("backbone", self.backbone == own, own)

    def config(self, *, vocab_size):
        """Return the config of the dense model."""
        raise NotImplementedError

    def variant(self, changes):
        """Return the defaults of another backbone where the changes name one, or these settings."""
        name = changes.get("backbone", self.backbone)
        return self if name == self.backbone else load_backbone(name).Settings()


class Backbone(nn.Module):
    """Base of every acoustic model; built from its config alone: `Model(config)`.

    A subclass names its `Settings` (a ModelSettings) and its `Config`, and defines `set_normalisation(mean=,
    deviation=)`, `unit_groups()`, `hidden_width`, and the four methods below. A config is a frozen dataclass with the
    widths of every layer: `backbone` (the name in the registry), `vocab_size`, `to_json()`, `from_json(value)`, and
    `scaled(factor)`, the dense config of another size.
    """

    Settings, Config = None, None
    # Parameters that belong to the tokens: another corpus's ticket does not replace them.
    token_prefixes = ("head.",)
    # What the encoder's parameters are called before their own names, which all backbones with that encoder share.
    encoder_prefix = ""

    def outputs(self, batch):
        """Return what loss and decoding need, and the layer half-way up: (B, T, D). May run in bfloat16."""
        raise NotImplementedError

    def losses(self, outputs, batch):
        """Return float32 (B,): negative log-likelihood of each utterance's targets; 0 where they do not fit."""
        raise NotImplementedError

    def symbol_logprobs(self, outputs, batch):
        """Return what the model says of each symbol at every node, for distillation.

        Returns:
            (logprobs, is_inside): float32 (B, T, N, V), natural log, and bool (B, T, N), False beyond an utterance's
            frames and nodes. A CTC model has one node a frame, a transducer one for each number of symbols said.
        """
        raise NotImplementedError

    def decode(self, outputs, batch):
        """Return the most likely symbols of each utterance, found greedily: list of lists of ids."""
        raise NotImplementedError

    def objective(self, **settings):
        """Return the module that a training minimises, (batch, autocast_dtype=) -> (loss, character loss).

        Args:
            settings: further arguments of `lottery_train.objective.Objective`.
        """
        return Objective(self, **settings)


def is_within(lengths_B, size):
    """Return bool (B, size): whether a place lies within each length."""
    return torch.arange(size, device=lengths_B.device) < lengths_B[:, None]


def require_positive(config, *names, high=MAX_WIDTH):
    """Raise ConfigError unless the fields of a config are integers from 1 to `high`."""
    require_integers(config, *names, low=1, high=high)


def require_integers(config, *names, low, high):
    """Raise ConfigError unless the fields of a config are integers from `low` to `high`."""
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"{name} is {short(value)}, expected an integer from {low} to {high}")


def require_layers(layers, *, name, kind):
    """Raise ConfigError unless these are one layer or more, each of a dataclass `kind`, and no more than MAX_LAYERS."""
    if not isinstance(layers, tuple) or not all(type(layer) is kind for layer in layers):
        raise ConfigError(f"{name} is {short(layers)}, expected a list of widths")
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise ConfigError(f"{name} has {len(layers)} entries, expected 1 to {MAX_LAYERS}")


def require_dropout(config):
    """Raise ConfigError unless a config's dropout is a probability below 1."""
    if type(config.dropout) not in (int, float) or not 0 <= config.dropout < 1:
        raise ConfigError(f"dropout is {short(config.dropout)}, expected a value in [0, 1)")


def scaled_width(width, factor):
    """Return `factor` of a width, rounded to a multiple of 4 and at least one."""
    return max(4, round(width * factor / 4) * 4)
