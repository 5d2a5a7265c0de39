"""One file that holds a training at a step: weights, optimiser moments, and the counters, written whole or not at all.

There is no random state to save: order, augmentation and dropout are functions of (seed, step).
"""

import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lottery_train.errors import TicketError
from runtime.files import write_atomic
from runtime.foreign import short

_RESTORE = "restore the file, or train the level again"


def save_checkpoint(path, *, model, optimizer, state):
    """Write weights, optimiser state and a JSON-able `state` to one safetensors file, atomically."""
    tensors = {f"weights.{name}": value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            tensors[f"optimizer.{key}.{names[parameter]}"] = value.detach().contiguous().cpu()
    write_atomic(path, save(tensors, metadata={"state": json.dumps(state)}))


def load_checkpoint(path, *, model, optimizer=None):
    """Restore what `save_checkpoint` wrote.

    Args:
        optimizer: None leaves the moments alone (fresh optimiser).
    Returns:
        the `state` dict.
    Raises:
        TicketError: the file is damaged, holds no state, or belongs to another model.
    """
    tensors, metadata = read_safetensors(path)
    prefix = "weights."
    weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    _require_forms(path, weights, expected=model.state_dict())
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise TicketError(f"{path}: belongs to another model: {short(error)}", hint=_RESTORE) from error
    try:
        state = json.loads(metadata["state"])
    except (KeyError, ValueError, RecursionError) as error:
        raise TicketError(f"{path}: not a checkpoint, it does not say where it stands", hint=_RESTORE) from error
    if optimizer is not None:
        for name, parameter in model.named_parameters():
            if f"optimizer.step.{name}" in tensors:
                moments = {key: tensors.get(f"optimizer.{key}.{name}") for key in ("exp_avg", "exp_avg_sq", "step")}
                expected = {"exp_avg": parameter, "exp_avg_sq": parameter, "step": torch.zeros(())}
                _require_forms(path, moments, expected=expected)
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}
    return state


def _require_forms(path, tensors, *, expected):
    """Refuse tensors whose type or, where they are there, shape is another one than expected."""
    for name, value in tensors.items():
        wanted = expected.get(name)
        if value is None or (wanted is not None and (value.dtype != wanted.dtype or value.shape != wanted.shape)):
            found = "missing" if value is None else f"{value.dtype} {tuple(value.shape)}"
            raise TicketError(f"{path}: belongs to another model: {short(name)} is {found}", hint=_RESTORE)


def read_safetensors(path):
    """Return (tensors, metadata) of a safetensors file.

    Raises:
        TicketError: missing, truncated or malformed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    # Beside its own error: whatever a tensor's type or name leads torch to.
    except (OSError, SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise TicketError(f"{path}: cannot read: {short(error)}", hint=_RESTORE) from error


def average_weights(paths):
    """Return the mean of the tensors of several safetensors files, in float64, cast back."""
    total = {}
    for path in paths:
        for name, value in read_safetensors(path)[0].items():
            total[name] = total.get(name, 0) + value.to(torch.float64)
    return {name: (value / len(paths)).to(torch.float32) for name, value in total.items()}
