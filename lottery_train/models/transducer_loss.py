"""The loss of a transducer: minus the log-probability of the targets, summed over all alignments.

torchaudio's operator where it can be loaded, else the forward-backward recursion along anti-diagonals of the lattice,
whose gradient is written out: the graph of a recursion of T + U steps would cost more than the recursion.
Shapes: B batch, T encoder frames, U target symbols (lattices have U + 1 columns), V symbols.
Source: Graves 2012, "Sequence Transduction with Recurrent Neural Networks", sec. 2.4.
"""

import functools

import torch

from lottery_train.torchaudio_import import import_torchaudio
from runtime.errors import MissingExtraError


def transducer_losses(logits_BTUV, targets_BU, *, input_lengths, target_lengths, blank=0):
    """Return the loss of each utterance.

    Args:
        logits_BTUV: float32 or float64 (B, T, U + 1, V), not normalised.
        targets_BU: int64 (B, U), padded with anything below V.
        input_lengths, target_lengths: int64 (B,), 1 to T and 0 to U.
        blank: index of the blank symbol.
    Returns:
        (B,) negative natural-log likelihoods.
    Raises:
        ValueError: the shapes do not fit.
    """
    B, T, columns, _ = logits_BTUV.shape
    if tuple(targets_BU.shape) != (B, columns - 1):
        raise ValueError(f"targets of shape {tuple(targets_BU.shape)}, logits of {tuple(logits_BTUV.shape)}")
    if not (int(input_lengths.min()) >= 1 and int(input_lengths.max()) <= T and int(target_lengths.max()) < columns):
        raise ValueError("an input or target length does not fit the logits")
    compiled = _compiled_loss()
    if compiled is not None and logits_BTUV.dtype == torch.float32:
        lengths = input_lengths.int(), target_lengths.int()
        return compiled(logits_BTUV, targets_BU.int(), *lengths, blank=blank, reduction="none")
    return _TransducerLoss.apply(logits_BTUV, targets_BU, input_lengths, target_lengths, blank)


@functools.cache
def _compiled_loss():
    """Return torchaudio's rnnt_loss, or None where torchaudio or its compiled operators are missing."""
    try:
        functional = import_torchaudio().functional
    except MissingExtraError:
        return None
    has_operator = hasattr(torch.ops.torchaudio, "rnnt_loss_forward")
    return getattr(functional, "rnnt_loss", None) if has_operator else None


class _TransducerLoss(torch.autograd.Function):
    """Normalises at the two entries of a node that matter: no log-probability of the others is kept."""

    @staticmethod
    def forward(ctx, logits_BTUV, targets_BU, input_lengths, target_lengths, blank):
        norm_BTU = torch.logsumexp(logits_BTUV, -1)
        index = targets_BU[:, None, :, None].expand(-1, logits_BTUV.shape[1], -1, 1)
        blank_BTU = logits_BTUV[..., blank] - norm_BTU
        emit_BTU = logits_BTUV[:, :, :-1].gather(-1, index).squeeze(-1) - norm_BTU[:, :, :-1]
        losses_B, *uses = _occupancies(blank_BTU, emit_BTU, input_lengths, target_lengths)
        ctx.save_for_backward(logits_BTUV, norm_BTU, index, *uses)
        ctx.blank = blank
        return losses_B

    @staticmethod
    def backward(ctx, grad_B):
        logits_BTUV, norm_BTU, index, blank_use_BTU, emit_use_BTU = ctx.saved_tensors
        scale = grad_B[:, None, None]
        visits_BTU = blank_use_BTU.clone()
        visits_BTU[:, :, :-1] += emit_use_BTU
        grad_BTUV = torch.exp(logits_BTUV - norm_BTU[..., None]).mul_((visits_BTU * scale)[..., None])
        grad_BTUV[..., ctx.blank] -= blank_use_BTU * scale
        grad_BTUV[:, :, :-1].scatter_add_(-1, index, -(emit_use_BTU * scale)[..., None])
        return grad_BTUV, None, None, None, None


def _occupancies(blank_BTU, emit_BTU, input_lengths, target_lengths):
    """Return the losses, and the probabilities that an alignment takes each blank and each emission.

    Node (t, u) is t frames consumed, u symbols emitted; a lattice ends in node (T, U). On diagonal n = t + u all nodes
    follow from diagonal n - 1.
    """
    B, T, columns = blank_BTU.shape
    frame_T1, column_U = (
        torch.arange(T, device=blank_BTU.device)[:, None],
        torch.arange(columns, device=blank_BTU.device),
    )
    is_inside = frame_T1 < input_lengths[:, None, None]
    blank = blank_BTU.masked_fill(~(is_inside & (column_U <= target_lengths[:, None, None])), -torch.inf)
    emit = torch.nn.functional.pad(emit_BTU, (0, 1))
    emit = emit.masked_fill(~(is_inside & (column_U < target_lengths[:, None, None])), -torch.inf)
    blank_NBU, emit_NBU = _diagonals(blank), _diagonals(emit)
    num_diagonals = T + columns
    alpha_NBU = blank.new_full((num_diagonals, B, columns), -torch.inf)
    alpha_NBU[0, :, 0] = 0
    for n in range(1, num_diagonals):
        stay = alpha_NBU[n - 1] + blank_NBU[n - 1]
        move = (alpha_NBU[n - 1] + emit_NBU[n - 1])[:, :-1]
        alpha_NBU[n, :, 0] = stay[:, 0]
        torch.logaddexp(stay[:, 1:], move, out=alpha_NBU[n, :, 1:])
    # `beta` starts in each lattice's own last node.
    beta_NBU = torch.full_like(alpha_NBU, -torch.inf)
    last_B, row_B = input_lengths + target_lengths, torch.arange(B, device=blank.device)
    beta_NBU[last_B, row_B, target_lengths] = 0
    is_end_NBU = beta_NBU == 0
    for n in range(num_diagonals - 2, -1, -1):
        stay = beta_NBU[n + 1] + blank_NBU[n]
        move = beta_NBU[n + 1, :, 1:] + emit_NBU[n, :, :-1]
        following = torch.cat([torch.logaddexp(stay[:, :-1], move), stay[:, -1:]], 1)
        beta_NBU[n] = torch.where(is_end_NBU[n], 0.0, following)
    total_B = beta_NBU[0, :, 0]
    before = alpha_NBU[:-1] - total_B[:, None]
    blank_use = torch.exp(before + blank_NBU + beta_NBU[1:])
    emit_use = torch.exp(before[..., :-1] + emit_NBU[..., :-1] + beta_NBU[1:, :, 1:])
    return -total_B, _rows(blank_use, T), _rows(emit_use, T)


def _diagonals(x_BTU):
    """Return (T + U, B, U + 1): entry (n, b, u) is x[b, n - u, u], or minus infinity where there is none."""
    B, T, columns = x_BTU.shape
    # A row longer by one shifts every next one by one: the diagonals of the matrix are the rows of the result.
    padded = torch.nn.functional.pad(x_BTU.permute(0, 2, 1), (0, columns), value=-torch.inf).reshape(B, -1)
    skewed = padded[:, : columns * (T + columns - 1)].view(B, columns, T + columns - 1)
    return skewed.permute(2, 0, 1)


def _rows(x_NBU, num_frames):
    """Return (B, T, U) from diagonals: the inverse of `_diagonals`."""
    B, columns = x_NBU.shape[1:]
    index = torch.arange(num_frames, device=x_NBU.device)[:, None] + torch.arange(columns, device=x_NBU.device)
    return x_NBU.permute(1, 0, 2).gather(1, index.expand(B, -1, -1))
