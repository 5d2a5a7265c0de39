"""The learning rate over a training: linear warm-up, then cosine to zero."""

import math


def learning_rate(config, progress, *, epochs):
    """Return the learning rate at a position in epochs: linear warm-up, then cosine to zero."""
    warm_up = min(1.0, (progress + 0.01) / config.warmup_epochs) if config.warmup_epochs else 1.0
    return config.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, progress / epochs)))
