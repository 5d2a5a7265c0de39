"""Best-path CTC decoding, one chunk at a time: the only collapse in the project."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """What one chunk of CTC output adds to an utterance.

    Args:
        ids: new symbol ids, blanks and repeats removed.
        frames: for each id, the frame of the chunk where its run begins.
        logprobs: for each id, its natural-log probability in that frame.
        last: symbol of the chunk's last frame (blank included); the `last` of the next call.
        num_trailing_blanks: blank frames at the end of the chunk.
    """

    ids: tuple[int, ...]
    frames: tuple[int, ...]
    logprobs: tuple[float, ...]
    last: int | None
    num_trailing_blanks: int


def greedy_ctc(logprobs_TV, *, blank, last=None):
    """Collapse one chunk of CTC output, continuing from the previous chunk.

    Args:
        logprobs_TV: float32 (T, V), natural-log probabilities; one row is `subsampling * hop_ms`; T may be 0.
        blank: index of the blank symbol, 0 <= blank < V.
        last: last symbol of the previous chunk (None at utterance start).
    Returns:
        Collapse; cutting an utterance into chunks at any frame gives the same ids.
    Raises:
        ValueError: logprobs_TV is not 2-D, or blank is out of range.
    Source: Graves et al. 2006, sec. 3.2 (best-path decoding).
    """
    logprobs_TV = np.asarray(logprobs_TV)
    if logprobs_TV.ndim != 2:
        raise ValueError(f"logprobs_TV has shape {logprobs_TV.shape}, expected (T, V)")
    if not 0 <= blank < logprobs_TV.shape[1]:
        raise ValueError(f"blank is {blank}, expected 0 <= blank < {logprobs_TV.shape[1]}")
    if len(logprobs_TV) == 0:
        return Collapse(ids=(), frames=(), logprobs=(), last=last, num_trailing_blanks=0)
    best_T = logprobs_TV.argmax(axis=1)
    previous_T = np.concatenate([[-1 if last is None else last], best_T[:-1]])
    frames = np.flatnonzero((best_T != blank) & (best_T != previous_T))
    spoken = np.flatnonzero(best_T != blank)
    return Collapse(
        ids=tuple(best_T[frames].tolist()),
        frames=tuple(frames.tolist()),
        logprobs=tuple(logprobs_TV[frames, best_T[frames]].tolist()),
        last=int(best_T[-1]),
        num_trailing_blanks=len(best_T) - 1 - int(spoken[-1]) if len(spoken) else len(best_T),
    )
