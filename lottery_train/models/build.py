"""From a run's model settings to a model, and to the dense model of another size that serves as its control."""

import torch

from lottery_train.errors import ConfigError
from lottery_train.models.registry import load_backbone


def dense_config(model, *, vocab_size):
    """Return the config of a run's model settings."""
    return model.config(vocab_size=vocab_size)


def make_model(config):
    """Return the model of a config, its weights drawn from the global generator."""
    return load_backbone(config.backbone)(config)


def build_model(config, *, seed):
    """Return the model with weights drawn from `seed`, whatever the state of the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_model(config)


def count_weights(config):
    """Return the number of trainable values of a config, without allocating them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make_model(config).parameters())


def dense_small_config(config, *, num_weights):
    """Return the dense model of the same depth with at most `num_weights` weights, as near as widths allow.

    Every width shrinks by the same factor.

    Raises:
        ConfigError: even the narrowest such model has more weights.
    """
    for permille in range(1000, 0, -5):
        candidate = config.scaled(permille / 1000)
        if count_weights(candidate) <= num_weights:
            return candidate
    raise ConfigError(f"no dense {config.backbone} of this depth has as few as {num_weights} weights")
