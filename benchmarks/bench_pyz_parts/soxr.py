"""Stands for the package soxr in bench.pyz: audio that has the model's rate stays as it is, other audio is refused."""

from runtime.errors import LotteryError


def resample(samples, from_hz, to_hz):
    """Return the samples.

    Raises:
        LotteryError: the rates differ.
    """
    if from_hz != to_hz:
        raise LotteryError(
            f"bench.pyz does not resample {from_hz:g} Hz to {to_hz:g} Hz", hint="give --audio of 16000 Hz, or none"
        )
    return samples


class ResampleStream:
    """What a stream of another rate would need; no stream of a measurement has one."""

    def __init__(self, from_hz, to_hz, *_, **__):
        resample(None, from_hz, to_hz)
        raise LotteryError("bench.pyz does not resample")
