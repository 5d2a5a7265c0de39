"""Iterative pruning as the reference code does it, through torch.nn.utils.prune alone; benchmarks use it too."""

import copy

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from lottery_train.pruning import Magnitude, WeightGranularity, prunable_names, prune


def constant_amounts(level):
    """One group at 20 %."""
    return (0.2,)


def decaying_amounts(level):
    """One group at 20 % * 0.9^(t - 1)."""
    return (0.2 * 0.9 ** (level - 1),)


def thirds_amounts(level):
    """Three groups at 1.1, 1.0 and 0.9 times 20 %."""
    return (1.1 * 0.2, 1.0 * 0.2, 0.9 * 0.2)


def decaying_thirds_amounts(level):
    """Three groups at 1.1, 1.0 and 0.9 times 20 % * 0.9^(t - 1)."""
    return tuple(factor * (0.2 * 0.9 ** (level - 1)) for factor in (1.1, 1.0, 0.9))


def plausible_model(*, seed=0):
    """Return linear layers of uneven sizes with other modules between, eleven in all: thirds are 3, 3 and 5."""
    torch.manual_seed(seed)
    widths = (40, 48, 31, 64, 17, 80, 40, 24, 33, 29, 50, 37)
    layers = [module for a, b in zip(widths, widths[1:], strict=False) for module in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers)


def compare_masks(schedule, *, amounts, num_rounds=20, seed=0, quantum=None):
    """Prune one model twice, by the reference and by `schedule`, with random updates of the survivors between rounds.

    Args:
        amounts: level -> fraction of what remains for each group of consecutive modules.
        quantum: weights are rounded to multiples of this, which makes ties; None leaves them.
    Returns:
        For each level (number of weights the reference keeps, number kept here, whether all masks are bit-equal).
    """
    reference = plausible_model(seed=seed)
    _update(reference, dict(reference.named_parameters()), quantum=quantum, seed=seed)
    weights = {name: weight.detach().clone() for name, weight in reference.named_parameters()}
    names = prunable_names(copy.deepcopy(reference))
    mask = WeightGranularity().dense_mask(weights, names=names)
    modules = [module for module in reference if type(module) is nn.Linear]
    results = []
    for level in range(1, num_rounds + 1):
        _reference_round(modules, amounts(level))
        mask = prune(
            weights, mask, criterion=Magnitude(), granularity=WeightGranularity(), schedule=schedule, level=level
        )
        expected = {name: module.weight_mask.bool() for name, module in zip(names, modules, strict=True)}
        is_equal = all(torch.equal(mask[name], expected[name]) for name in names)
        results.append((sum(int(keep.sum()) for keep in expected.values()), mask.num_kept, is_equal))
        # Emulated training: the reference masks in its forward hook, this package after the step.
        originals = {name: module.weight_orig for name, module in zip(names, modules, strict=True)}
        _update(reference, originals, quantum=quantum, seed=seed + level)
        _update(reference, {name: weights[name] for name in names}, quantum=quantum, seed=seed + level)
        mask.apply_(weights)
    return results


def reference_masks_equal(schedule, *, amounts, num_rounds=20, seed=0, quantum=None):
    """Return whether every mask of every round is bit-equal with the reference's."""
    results = compare_masks(schedule, amounts=amounts, num_rounds=num_rounds, seed=seed, quantum=quantum)
    return len(results) == num_rounds and all(is_equal for _, _, is_equal in results)


def _reference_round(modules, amounts):
    """Call global_unstructured on each group; the last one takes what does not divide."""
    size = len(modules) // len(amounts)
    for group, amount in enumerate(amounts):
        stop = len(modules) if group == len(amounts) - 1 else (group + 1) * size
        parameters = [(module, "weight") for module in modules[group * size : stop]]
        torch_prune.global_unstructured(parameters, pruning_method=torch_prune.L1Unstructured, amount=amount)


def _update(model, tensors, *, quantum, seed):
    """Move every tensor at random, then run the model forward, which refreshes torch's masked weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in tensors.values():
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
            if quantum is not None:
                tensor.div_(quantum).round_().mul_(quantum)
        model(torch.zeros(1, 40))
