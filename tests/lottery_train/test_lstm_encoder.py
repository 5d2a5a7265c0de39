"""DeepSpeech-2's encoder: against nn.LSTM and conv2d, chunked == full, batch == alone, masked == removed."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lottery_train.errors import ConfigError
from lottery_train.models import make_model
from lottery_train.models.cnn_lstm import CnnLstmConfig
from lottery_train.models.lstm_config import LstmWidths
from lottery_train.models.lstm_encoder import LstmLayer, reverse_frames
from runtime.features import PADDING_VALUE
from tests.lottery_train.slicing import assert_masked_equals_sliced
from tests.lottery_train.tiny import drawn_model

UNEVEN = (
    LstmWidths(ahead=6, back=5, norm=16),
    LstmWidths(ahead=3, back=0, norm=8),
    LstmWidths(ahead=7, back=8, norm=16),
)


def tiny_cnn_lstm(*, is_bidirectional=False, layers=None, **fields):
    back = 8 if is_bidirectional else 0
    alike = (LstmWidths(ahead=8, back=back, norm=8 + back),) * 2
    settings = {
        "vocab_size": 6,
        "num_mels": 12,
        "cnn_channels": (4, 6),
        "cnn_norm": 6,
        "cnn_bins": (5, 3),
        "dropout": 0.0,
    }
    return CnnLstmConfig(**settings | {"cnn_frames": (7, 5), "layers": layers or alike} | fields)


def features(config, *, num_frames, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, 4 * num_frames + 3, config.num_mels), generator=generator) * 3 - 8


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 4, 6])
@pytest.mark.parametrize("frames", [(7, 5), (3, 3), (3, 9)])
def test_chunked_equals_full(chunk, frames):
    model = drawn_model(tiny_cnn_lstm(cnn_frames=frames))
    x, state, outputs = features(model.config, num_frames=24), model.initial_state(2), []
    for start in range(0, 24, chunk):
        logprobs, state = model.step(x[:, 4 * start : 4 * (start + chunk) + 3], state=state)
        outputs.append(logprobs)
    # The same sums, cut into products of other sizes.
    torch.testing.assert_close(torch.cat(outputs, 1), model(x, chunk=4), rtol=0, atol=2e-6)


def test_a_model_that_reads_backwards_cannot_stream():
    model = drawn_model(tiny_cnn_lstm(is_bidirectional=True))
    with pytest.raises(ConfigError, match="cannot stream"):
        model.step(features(model.config, num_frames=4), state=model.initial_state(2))


@torch.no_grad()
@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_a_row_of_a_batch_is_what_the_utterance_alone_is(is_bidirectional):
    model = drawn_model(tiny_cnn_lstm(is_bidirectional=is_bidirectional))
    x, lengths = features(model.config, num_frames=24, batch=3), torch.tensor([24, 16, 8])
    for row, length in enumerate(lengths.tolist()):
        x[row, 4 * length :] = PADDING_VALUE
    together = model(x, chunk=8, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(x[row : row + 1, : 4 * length + 3], chunk=8, lengths=lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=2e-6)
    changed = x.clone()
    changed[1, 4 * 16 + 3 :] += 1.0
    assert torch.equal(model(changed, chunk=8, lengths=lengths)[1, :16], together[1, :16])


@torch.no_grad()
def test_the_layers_are_those_of_torch():
    """Both directions against one bidirectional nn.LSTM on a packed batch."""
    torch.manual_seed(0)
    layer = LstmLayer(5, LstmWidths(ahead=4, back=4, norm=8), dropout=0.0).eval()
    reference = torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    for name, value in layer.ahead.state_dict().items():
        reference.get_parameter(name).copy_(value)
        reference.get_parameter(f"{name}_reverse").copy_(layer.back.state_dict()[name])
    x, lengths = torch.randn(3, 9, 5), torch.tensor([9, 6, 2])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    found, _ = layer(x, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :length], F.rms_norm(expected[row, :length], (8,), eps=1e-5))


@torch.no_grad()
def test_the_convolutions_are_those_of_torch():
    model = drawn_model(tiny_cnn_lstm())
    front, x = model.front, features(model.config, num_frames=6)
    y = ((x + 8) / 3)[:, None]
    for layer, frames, bins in ((front.conv1, 7, 5), (front.conv2, 5, 3)):
        y = F.silu(F.conv2d(F.pad(y, (bins // 2, bins // 2, frames - 3, 0)), layer.weight, layer.bias, stride=2))
    expected = F.rms_norm(y.permute(0, 2, 1, 3).flatten(2), (18,), front.norm.gain, eps=1e-5)
    assert expected.shape == (2, 6, 6 * 3)
    torch.testing.assert_close(front(x)[0], expected)


def test_reversing_twice_is_nothing_and_padding_stays():
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3])
    reversed_once = reverse_frames(x, lengths)
    assert torch.equal(reversed_once[1], x[1, [2, 1, 0, 3, 4]])
    assert torch.equal(reverse_frames(reversed_once, lengths), x)
    assert torch.equal(reverse_frames(x, None), x.flip(1))


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_masked_equals_the_smaller_model(is_bidirectional):
    """Units of every kind at once: gates, read-back columns, gains, and columns of the next matrix."""
    config = tiny_cnn_lstm(is_bidirectional=is_bidirectional)
    drop = {"front.conv1": [1], "front.conv2": [0, 4], "layers.0.ahead": [2, 7], "layers.1.ahead": [0]}
    if is_bidirectional:
        drop |= {"layers.0.back": [3], "layers.1.back": [1, 2, 6]}

    def shrink(config, kept):
        layers = [
            dataclasses.replace(
                widths,
                ahead=kept[f"layers.{number}.ahead"],
                back=kept.get(f"layers.{number}.back", 0),
            )
            for number, widths in enumerate(config.layers)
        ]
        channels = (kept["front.conv1"], kept["front.conv2"])
        return dataclasses.replace(config, cnn_channels=channels, layers=tuple(layers))

    x, lengths = features(config, num_frames=8), torch.tensor([8, 4])
    run = lambda model: model(x, chunk=4, lengths=lengths)  # noqa: E731
    assert_masked_equals_sliced(drawn_model(config), drop=drop, shrink=shrink, run=run)


def test_config_round_trip_and_impossible_values():
    config = tiny_cnn_lstm(layers=UNEVEN)
    assert CnnLstmConfig.from_json(config.to_json()) == config
    assert make_model(config).head.weight.shape == (6, 15)
    for changes in (
        {"cnn_frames": (4, 3)}, {"cnn_bins": (2, 3)}, {"cnn_channels": (0, 4)}, {"cnn_channels": (4, 7)},
        {"layers": ()}, {"vocab_size": 0}, {"dropout": 1.0},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            dataclasses.replace(config, **changes)
    for value in ({}, [], {**config.to_json(), "layers": [{"ahead": 3}]}, {**config.to_json(), "cnn_bins": [3, "5"]}):
        with pytest.raises(ConfigError):
            CnnLstmConfig.from_json(value)


def test_normalisation_is_inside_the_model():
    model, plain = drawn_model(tiny_cnn_lstm()), drawn_model(tiny_cnn_lstm())
    x = features(model.config, num_frames=4)
    model.set_normalisation(mean=np.full(12, -5.0), deviation=np.full(12, 2.0))
    plain.set_normalisation(mean=np.zeros(12), deviation=np.ones(12))
    torch.testing.assert_close(model(x, chunk=4), plain((x + 5) / 2, chunk=4), atol=1e-4, rtol=0)
