"""What a training came to: whether the model learnt anything at all."""

# On a few words per utterance a model that says nothing, or one word always, stands at 90 to 100 %.
MAX_USEFUL_WER = 0.9
HINT = "see whether texts and recordings belong together (skipped.txt), train longer (--epochs), or give it more data"


def failure_note(record):
    """Return what must be said of a model that learnt next to nothing, or None.

    Args:
        record: content of `ticket.json`.
    """
    try:
        wer = float(record["metrics"]["dev"]["wer"])
    except (KeyError, TypeError, ValueError):
        return None
    if wer <= MAX_USEFUL_WER:
        return None
    return f"dev WER is {wer:.1%}, above {MAX_USEFUL_WER:.0%}: this model has learnt next to nothing"
