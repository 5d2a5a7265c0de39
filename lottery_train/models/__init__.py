"""Acoustic models."""

from lottery_train.models.backbone import Backbone, ModelSettings
from lottery_train.models.build import build_model, count_weights, dense_config, dense_small_config, make_model
from lottery_train.models.config import BlockWidths, ConformerConfig
from lottery_train.models.conformer import Conformer
from lottery_train.models.registry import BACKBONES, config_from_json, config_to_json, load_backbone

__all__ = [
    "BACKBONES",
    "Backbone",
    "BlockWidths",
    "Conformer",
    "ConformerConfig",
    "ModelSettings",
    "build_model",
    "config_from_json",
    "config_to_json",
    "count_weights",
    "dense_config",
    "dense_small_config",
    "load_backbone",
    "make_model",
]
