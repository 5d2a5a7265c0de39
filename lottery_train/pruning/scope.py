"""Scope: which parameters of a model may be pruned."""

from torch import nn

from lottery_train.errors import ConfigError
from lottery_train.models.layers import PointwiseConv

SCOPES = ("linear", "pointwise")


def prunable_names(model, *, scope="linear"):
    """Return the names of the prunable weights, in module order (the order that ranking and splits use).

    Args:
        model: nn.Module.
        scope: "linear" takes weights of modules whose type is exactly nn.Linear, which is what the paper prunes, and
            every matrix of nn.LSTM; "pointwise" adds 1x1 convolutions: PointwiseConv, and nn.Conv1d of kernel size 1 in
            one group.
    Raises:
        ConfigError: unknown scope, or the model has nothing to prune.
    Source: Ding, Chen, Wang 2022 (of a Conformer, nn.Linear only).
    """
    if scope not in SCOPES:
        raise ConfigError(f"scope is {scope!r}, expected one of: {', '.join(SCOPES)}")
    names, seen = [], set()
    for path, module in model.named_modules():
        for name in _matrices(module, scope=scope):
            weight = getattr(module, name)
            if id(weight) not in seen:
                seen.add(id(weight))
                names.append(f"{path}.{name}" if path else name)
    if not names:
        raise ConfigError(f"scope {scope!r} finds no prunable weight in {type(model).__name__}")
    return tuple(names)


def _matrices(module, *, scope):
    """Return the attributes of a module that hold prunable weights."""
    if isinstance(module, nn.LSTM):
        return [name for name, _ in module.named_parameters() if name.startswith("weight_")]
    is_pointwise_conv = isinstance(module, nn.Conv1d) and module.kernel_size == (1,) and module.groups == 1
    is_pointwise = scope == "pointwise" and (isinstance(module, PointwiseConv) or is_pointwise_conv)
    return ["weight"] if type(module) is nn.Linear or is_pointwise else []
