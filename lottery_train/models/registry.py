"""The backbones by name. A new one is a file of its own and a line here; nothing else knows their names.

Each is imported when it is asked for.
"""

import importlib

from lottery_train.errors import ConfigError
from runtime.foreign import short

BACKBONES = {
    "cnn-lstm": "lottery_train.models.cnn_lstm:CnnLstm",
    "conformer": "lottery_train.models.conformer:Conformer",
    "rnnt": "lottery_train.models.rnnt:Transducer",
}
# Of settings and tickets that were written before there was a choice.
FIRST_BACKBONE = "conformer"


def load_backbone(name):
    """Return the `models.backbone.Backbone` class of that name; ConfigError for an unknown one."""
    if not isinstance(name, str) or name not in BACKBONES:
        raise ConfigError(f"model.backbone is {short(name)}, expected {' or '.join(BACKBONES)}")
    module, _, attribute = BACKBONES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def config_to_json(config):
    """Return plain dicts and lists: what `ticket.json` keeps of a model's config."""
    return {"backbone": config.backbone, **config.to_json()}


def config_from_json(value):
    """Rebuild a config from `config_to_json()` output read from an untrusted file.

    Raises:
        ConfigError: unknown backbone; unknown, missing or ill-typed fields.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"not a model config: {short(value)}")
    fields = {name: item for name, item in value.items() if name != "backbone"}
    return load_backbone(value.get("backbone", FIRST_BACKBONE)).Config.from_json(fields)


def require_backbone(config, name, *, purpose):
    """Raise ConfigError unless a config is of the one backbone that a purpose is written for."""
    if config.backbone != name:
        raise ConfigError(
            f"{purpose} supports the {name} backbone only; this ticket's is {config.backbone}",
            hint=f"train with --set model.backbone={name}: tickets of the others can be compared, not deployed",
        )
