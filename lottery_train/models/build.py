"""From a run's model settings to a model, and to the dense model of another size that serves as its control."""

import torch

from lottery_train.errors import ConfigError
from lottery_train.models.config import ConformerConfig
from lottery_train.models.conformer import Conformer

_WIDTH_STEP = 8


def dense_config(model, *, vocab_size):
    """Return the ConformerConfig of a run's `ModelConfig`."""
    return ConformerConfig.uniform(
        num_blocks=model.num_blocks,
        ff=model.ff,
        heads=model.heads,
        conv=model.conv,
        vocab_size=vocab_size,
        model_width=model.model_width,
        stem_width=model.stem_width,
        head_width=model.head_width,
        conv_kernel=model.conv_kernel,
        left_context_frames=model.left_context_frames,
        dropout=model.dropout,
    )


def build_model(config, *, seed):
    """Return the model with weights drawn from `seed`, whatever the state of the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Conformer(config)


def count_weights(config):
    """Return the number of trainable values of a config, without allocating them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Conformer(config).parameters())


def dense_small_config(config, *, num_weights):
    """Return the dense model of the same depth with at most `num_weights` weights, as near as widths allow.

    Every width shrinks by the same factor; feed-forward, convolution and model widths stay multiples of 8.

    Raises:
        ConfigError: even the narrowest such model has more weights.
    """

    def scaled(factor):
        def width(size):
            return max(_WIDTH_STEP, round(size * factor / _WIDTH_STEP) * _WIDTH_STEP)

        first = config.blocks[0]
        return ConformerConfig.uniform(
            num_blocks=len(config.blocks),
            ff=width(first.ff1),
            heads=first.heads,
            conv=width(first.conv_norm),
            vocab_size=config.vocab_size,
            num_mels=config.num_mels,
            model_width=width(config.model_width),
            stem_width=width(config.stem_width),
            head_width=max(4, round(config.head_width * factor / 4) * 4),
            conv_kernel=config.conv_kernel,
            left_context_frames=config.left_context_frames,
            max_chunk_frames=config.max_chunk_frames,
            dropout=config.dropout,
        )

    for percent in range(100, 0, -1):
        candidate = scaled(percent / 100)
        if count_weights(candidate) <= num_weights:
            return candidate
    raise ConfigError(f"no dense model of {len(config.blocks)} blocks has as few as {num_weights} weights")
