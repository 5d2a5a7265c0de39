"""The entropy coder against plain Python, and against Shannon's bound."""

import numpy as np
import pytest

from tests.runtime.engine.probe import load_probe
from tests.runtime.engine.reference_ticket import rans_encode, rans_symbols


@pytest.fixture(scope="module")
def probe():
    return load_probe()


def skewed():
    """Frequencies as those of gaps: most of them small; a few symbols do not occur."""
    frequencies = np.maximum(1, 1500 * 0.91 ** np.arange(256)).astype(np.int64)
    frequencies[200:210] = 0
    frequencies[0] += 16384 - frequencies.sum()
    return frequencies


def only(symbol):
    frequencies = np.zeros(256, np.int64)
    frequencies[symbol] = 16384
    return frequencies


def drawn(frequencies, count, *, seed=0):
    symbols = np.random.default_rng(seed).choice(256, count, p=frequencies / frequencies.sum())
    return symbols.astype(np.uint8).tobytes()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
@pytest.mark.parametrize(
    "frequencies", [np.full(256, 64), skewed(), only(0), only(255)], ids=["flat", "skewed", "0", "255"]
)
def test_it_writes_and_reads_the_reference_s_bytes(probe, frequencies, count):
    symbols = drawn(frequencies, count)
    stream = rans_encode(frequencies, symbols)
    assert probe.encode(frequencies, symbols, room=2 * count + 4) == stream
    assert probe.decode(frequencies, stream, count) == (symbols, True)
    reader = rans_symbols(frequencies, stream)
    assert bytes(symbol for symbol, _ in (next(reader) for _ in range(count))) == symbols


def test_a_stream_costs_its_entropy(probe):
    frequencies, count = skewed(), 100_000
    symbols = drawn(frequencies, count)
    bits = -np.log2(frequencies[list(symbols)] / 16384)
    bound_bytes = bits.sum() / 8
    # the first state and the last word are the overhead, and the state's 16 bits of slack lose next to nothing
    assert bound_bytes <= len(probe.encode(frequencies, symbols, room=2 * count + 4)) <= bound_bytes * 1.0005 + 6


def test_the_encoder_needs_room_for_all_of_it(probe):
    symbols = drawn(skewed(), 1000)
    size = len(rans_encode(skewed(), symbols))
    assert len(probe.encode(skewed(), symbols, room=size)) == size
    assert probe.encode(skewed(), symbols, room=size - 1) == b""
    assert probe.encode(skewed(), b"", room=3) == b""


@pytest.mark.parametrize("change", [-1, 1])
def test_frequencies_that_do_not_serve_are_refused(probe, change):
    frequencies = skewed()
    assert probe.encode(frequencies, bytes([205]), room=100) == b""
    frequencies[0] += change
    assert probe.encode(frequencies, bytes([0]), room=100) == b""


def test_whatever_the_stream_holds_it_is_not_passed_for_whole(probe):
    """Cut short, padded, begun in an impossible state, read too far or not far enough."""
    frequencies = skewed()
    symbols = drawn(frequencies, 500)
    stream = rans_encode(frequencies, symbols)
    for cut in range(len(stream)):
        assert not probe.decode(frequencies, stream[:cut], len(symbols))[1]
    for wrong in (stream + b"\0", stream + b"\0\0", b"\xff\xff\0\0" + stream[4:], b"\0\0\0\0" + stream[4:]):
        assert not probe.decode(frequencies, wrong, len(symbols))[1]
    for count in (len(symbols) - 1, len(symbols) + 1, 10 * len(symbols)):
        assert not probe.decode(frequencies, stream, count)[1]
