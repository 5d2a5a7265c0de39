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
        TicketError: the file is damaged or belongs to another model.
    """
    tensors, metadata = read_safetensors(path)
    prefix = "weights."
    weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise TicketError(f"{path}: belongs to another model: {short(error)}") from error
    if optimizer is not None:
        for name, parameter in model.named_parameters():
            keys = ("exp_avg", "exp_avg_sq", "step")
            if f"optimizer.step.{name}" in tensors:
                optimizer.state[parameter] = {
                    key: tensors[f"optimizer.{key}.{name}"].to(parameter.device) for key in keys
                }
    return json.loads(metadata["state"])


def read_safetensors(path):
    """Return (tensors, metadata) of a safetensors file.

    Raises:
        TicketError: missing, truncated or malformed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise TicketError(
            f"{path}: cannot read: {short(error)}", hint="restore the file, or train the level again"
        ) from error


def average_weights(paths):
    """Return the mean of the tensors of several safetensors files, in float64, cast back."""
    total = {}
    for path in paths:
        for name, value in read_safetensors(path)[0].items():
            total[name] = total.get(name, 0) + value.to(torch.float64)
    return {name: (value / len(paths)).to(torch.float32) for name, value in total.items()}
