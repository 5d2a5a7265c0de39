"""Acoustic models."""

from lottery_train.models.build import build_model, count_weights, dense_config, dense_small_config
from lottery_train.models.config import BlockWidths, ConformerConfig
from lottery_train.models.conformer import Conformer

__all__ = [
    "BlockWidths",
    "Conformer",
    "ConformerConfig",
    "build_model",
    "count_weights",
    "dense_config",
    "dense_small_config",
]
