"""A Conformer as matrices and vectors, with what is constant folded into them: the sums that both exports start from.

In float64: whoever stores a result rounds it once.
"""

import math

import torch


def fold(layer, *, norm=None, scale=1.0):
    """Return the weight and bias of a linear layer, with what stands before and after it folded in.

    Args:
        layer: has `weight` (outputs, inputs) and `bias` (outputs).
        norm: LayerNorm before it, whose gain and bias fold into the layer: it only centres and divides then.
        scale: factor of the outputs.
    Returns:
        float64 (outputs, inputs) and (outputs). Weights that are 0 stay 0.
    """
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    if norm is not None:
        bias = bias + weight @ norm.bias.detach().double()
        weight = weight * norm.weight.detach().double()
    return weight * scale, bias * scale


def fold_query_key_value(attention, *, norm=None):
    """Return the three projections of an Attention as one; the queries hold the factor 1/sqrt(K) of the logits."""
    parts = [
        fold(attention.query, norm=norm, scale=1 / math.sqrt(attention.head_width)),
        fold(attention.key, norm=norm),
        fold(attention.value, norm=norm),
    ]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))
