"""Where two runs over the same clips differ, how decided ours was there, and what the difference is put down to.

A clip is {"tokens", "times", "margins"}, as benchmarks/sherpa_worker.py and benchmarks/sherpa_ours.py answer; theirs
has no margins.
"""

import itertools

import numpy as np

from runtime.features import ENCODER_FRAME_MS
from runtime.tokenizer import WORD_START
from runtime.word_errors import word_errors

UNEXPLAINED = "unexplained"
# Where our runtime was not run in the onnxruntime that this sherpa-onnx brings.
NOT_TRIED = "no other build of onnxruntime was tried"
# Half of the float32 spacing that sherpa-onnx's times have, and far below the 40 ms of a frame.
TIME_TOLERANCE_S = 1e-3


def same_tokens(found, expected):
    """Return whether two clips hold the same tokens."""
    return found["tokens"] == expected["tokens"]


def same_times(found, expected):
    """Return whether two clips of the same number of tokens have them at the same times."""
    return len(found["times"]) == len(expected["times"]) and np.allclose(
        found["times"], expected["times"], rtol=0, atol=TIME_TOLERANCE_S
    )


def is_same(found, expected):
    """Return whether two clips agree in all."""
    return same_tokens(found, expected) and same_times(found, expected)


def count(found, expected):
    """Return how clips differ: {"clips", "clips_with_other_tokens", "clips_with_other_times", "tokens", "token_edits"}.

    Args:
        found, expected: lists of clips, as sherpa_worker and sherpa_ours answer; `tokens` counts the expected ones.
    """
    pairs = list(zip(found, expected, strict=True))
    return {
        "clips": len(pairs),
        "clips_with_other_tokens": sum(not same_tokens(*pair) for pair in pairs),
        "clips_with_other_times": sum(not same_times(*pair) for pair in pairs),
        "tokens": sum(len(clip["tokens"]) for clip in expected),
        "token_edits": sum(word_errors(*(_spaced(clip) for clip in pair)) for pair in pairs),
    }


def _spaced(clip):
    """Return a clip's tokens with spaces between them; their own spaces, the starts of words, become visible."""
    return " ".join(token.replace(" ", WORD_START) for token in clip["tokens"])


def undecided(ours, theirs):
    """Return {"time_s", "margin"} of the first token that differs: where, and how decided our run was there."""
    spoken = [
        [(round(time_s, 2), token) for time_s, token in zip(clip["times"], clip["tokens"], strict=True)]
        for clip in (ours, theirs)
    ]
    first = next(pair for pair in itertools.zip_longest(*spoken) if pair[0] != pair[1])
    time_s = min(entry[0] for entry in first if entry is not None)
    # A token may also begin a frame later, or be missing, because of the frame in which it did not begin.
    frame = round(1000 * time_s / ENCODER_FRAME_MS)
    return {"time_s": time_s, "margin": round(ours["margins"][min(frame, len(ours["margins"]) - 1)], 4)}


def explain(names, *, ours, theirs, again):
    """Return one record for every clip with other tokens or times: where, how undecided, and the cause.

    Args:
        names: of the clips.
        ours, theirs: lists of clips.
        again: {(onnxruntime, features): clips}, our runtime once more; onnxruntime is "ours" or "theirs".
    """
    records = []
    for index, name in enumerate(names):
        pair = ours[index], theirs[index]
        if is_same(*pair):
            continue
        agrees = {key: is_same(clips[index], pair[1]) for key, clips in again.items()}
        cause = UNEXPLAINED if ("theirs", "kaldi") in again else NOT_TRIED
        if agrees.get(("theirs", "ours")):
            cause = "build of onnxruntime"
        elif agrees.get(("ours", "kaldi")):
            cause = "last digit of the features"
        elif agrees.get(("theirs", "kaldi")):
            cause = "last digit of the features and build of onnxruntime"
        texts = {"ours": "".join(pair[0]["tokens"]), "sherpa_onnx": "".join(pair[1]["tokens"])}
        records.append({"clip": name, **undecided(*pair), "cause": cause, **texts})
    return records
