"""DeepSpeech-2's encoder: two 2-D convolutions over time and frequency, a stack of LSTMs, an RMS norm behind each.

One direction streams: `encode_step` gives what `encode` gives. Two directions need the whole utterance; the second one
starts at each utterance's own last frame, so that no utterance sees the padding of its batch.
The convolutions see frames before an output and three after it, as the Conformer's subsampling does, so that both
encoders take the same features to the same 40 ms frames. The norms divide by the width before any shrinking: a unit at
zero then leaves nothing behind, and masked == removed.

Shapes: B batch, T encoder frames, F mel bins, C convolution channels, D width of a layer's output, H LSTM units.
Source: Amodei et al. 2016, "Deep Speech 2", sec. 3 (there: batch norm, and clipped ReLU for SiLU).
"""

import torch
import torch.nn.functional as F
from torch import nn

from lottery_train.errors import ConfigError
from lottery_train.models.layers import ChannelDropout, ChannelRMSNorm, NormalisedInput
from lottery_train.units import Member, UnitGroup

_GATES = 4  # rows of an LSTM's weights: input, forget, cell, output gate
_FORGET_BIAS = 1.0


class FrontEnd(NormalisedInput):
    """Feature normalisation and two strided 2-D convolutions: 4T+3 frames -> T vectors of C * (F/4) values."""

    def __init__(self, config):
        super().__init__(config.num_mels)
        # Frames of the past that each convolution sees beyond the three of its first output.
        self.past = tuple(size - 3 for size in config.cnn_frames)
        first, second = config.cnn_channels
        kernels = list(zip(config.cnn_frames, config.cnn_bins, strict=True))
        bins = tuple(size // 2 for size in config.cnn_bins)
        self.conv1 = nn.Conv2d(1, first, kernels[0], stride=2, padding=(0, bins[0]))
        self.conv2 = nn.Conv2d(first, second, kernels[1], stride=2, padding=(0, bins[1]))
        num_bins = config.num_bins[1]
        self.norm = ChannelRMSNorm(second * num_bins, divisor=config.cnn_norm * num_bins)

    def initial_state(self, batch):
        """Return the state of streams that have seen nothing: zeros before the start, as `forward` pads."""
        num_mels, channels = len(self.mean), self.conv1.out_channels
        return torch.zeros(batch, self.past[0], num_mels), torch.zeros(
            batch, channels, self.past[1], (num_mels + 1) // 2
        )

    def forward(self, x_BTF, *, state=None):
        """Return (B, T, C * bins) and the next state (None without a state: whole utterances)."""
        x = self.normalised(x_BTF)
        if state is None:
            x, y_past = F.pad(x, (0, 0, self.past[0], 0)), None
        else:
            x, y_past = torch.cat([state[0], x], 1), state[1]
        y = F.silu(self.conv1(x[:, None]))
        y = F.pad(y, (0, 0, self.past[1], 0)) if y_past is None else torch.cat([y_past, y], 2)
        z_BCTF = F.silu(self.conv2(y))
        num_frames = z_BCTF.shape[2]
        if state is not None:
            x_end, y_end = 4 * num_frames, 2 * num_frames
            state = x[:, x_end : x_end + self.past[0]], y[:, :, y_end : y_end + self.past[1]]
        return self.norm(z_BCTF.transpose(1, 2).flatten(2)), state


def reverse_frames(x_BTD, lengths):
    """Return each utterance backwards, its padding left where it is; without lengths all of it is utterance."""
    if lengths is None:
        return x_BTD.flip(1)
    frame = torch.arange(x_BTD.shape[1], device=x_BTD.device)
    mirrored = lengths[:, None] - 1 - frame
    index = torch.where(mirrored >= 0, mirrored, frame)
    return x_BTD.gather(1, index[:, :, None].expand_as(x_BTD))


class LstmLayer(nn.Module):
    """An LSTM, or one forwards and one backwards side by side, and an RMS norm.

    It computes in float32: rounding errors add up from frame to frame, and bfloat16 is slower on a CPU.
    """

    def __init__(self, in_width, widths, *, dropout):
        super().__init__()
        self.ahead = make_lstm(in_width, widths.ahead)
        self.back = make_lstm(in_width, widths.back) if widths.back else None
        self.norm = ChannelRMSNorm(widths.ahead + widths.back, divisor=widths.norm)
        self.dropout = ChannelDropout(dropout)

    def forward(self, x_BTD, *, lengths=None, state=None):
        """Return (B, T, ahead + back) and the next state, a pair of (1, B, ahead)."""
        with torch.autocast(x_BTD.device.type, enabled=False):
            x = x_BTD.float()
            y, state = self.ahead(x, state)
            if self.back is not None:
                z, _ = self.back(reverse_frames(x, lengths))
                y = torch.cat([y, reverse_frames(z, lengths)], -1)
            return self.dropout(self.norm(y)), state


def make_lstm(in_width, width):
    """Return an LSTM over (B, T, in) that begins by remembering: its forget gates are biased towards open.

    Source: Jozefowicz et al. 2015.
    """
    lstm = nn.LSTM(in_width, width, batch_first=True)
    with torch.no_grad():
        lstm.bias_ih_l0[width : 2 * width] += _FORGET_BIAS
    return lstm


class LstmEncoder(nn.Module):
    """Features -> encoder frames, as an `LstmEncoderConfig` says."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.front = FrontEnd(config)
        in_width, layers = config.cnn_channels[1] * config.num_bins[1], []
        for widths in config.layers:
            layers.append(LstmLayer(in_width, widths, dropout=config.dropout))
            in_width = widths.ahead + widths.back
        self.layers = nn.ModuleList(layers)

    @property
    def width(self):
        """Width of an encoder frame."""
        return self._width(len(self.layers))

    @property
    def hidden_width(self):
        """Width of the layer half-way up."""
        return self._width(self.middle)

    @property
    def middle(self):
        """Layers below the character loss: half of them."""
        return (len(self.layers) + 1) // 2

    def _width(self, number):
        widths = self.config.layers[number - 1]
        return widths.ahead + widths.back

    def set_normalisation(self, *, mean, deviation):
        """Set the feature statistics: array (F,) of means and of standard deviations."""
        self.front.set_normalisation(mean=mean, deviation=deviation)

    def encode(self, x_BTF, *, chunk, lengths=None, tap=None):
        """Encode whole utterances.

        Args:
            x_BTF: float32 (B, 4T+3, F) log-mel features, T a multiple of `chunk`, padded with PADDING_VALUE.
            chunk: encoder frames a chunk; it decides nothing but how far utterances are padded.
            lengths: int64 (B,) encoder frames of each; None: all of them.
            tap: None, or a number of layers.
        Returns:
            (B, T, D) encoder frames, and (B, T, D) after `tap` layers or None.
        Raises:
            ValueError: the number of frames does not fit the chunk.
        """
        if (x_BTF.shape[1] - 3) % (4 * chunk) or x_BTF.shape[1] <= 3:
            raise ValueError(f"{x_BTF.shape[1]} feature frames, expected 4 * n * {chunk} + 3")
        x, _ = self.front(x_BTF)
        tapped = None
        for number, layer in enumerate(self.layers, start=1):
            x, _ = layer(x, lengths=lengths)
            tapped = x if number == tap else tapped
        return x, tapped

    def encode_step(self, x_BTF, *, state):
        """Encode one chunk of any length, carrying state.

        Args:
            x_BTF: (B, 4*chunk+3, F) features; the next call starts 4*chunk frames later.
            state: as `initial_state` or the last call gave it.
        Returns:
            (B, chunk, D) encoder frames, the next state.
        Raises:
            ConfigError: a layer reads backwards.
        """
        if self.config.has_future:
            raise ConfigError("a bidirectional model needs whole utterances and cannot stream")
        x, front = self.front(x_BTF, state=state[0])
        following = []
        for layer, cells in zip(self.layers, state[1], strict=True):
            x, cells = layer(x, state=cells)
            following.append(cells)
        return x, (front, following)

    def initial_state(self, batch):
        """Return the state of streams that have seen nothing."""
        cells = [tuple(torch.zeros(1, batch, widths.ahead) for _ in range(2)) for widths in self.config.layers]
        return self.front.initial_state(batch), cells

    def unit_groups(self, *, consumer="head.weight"):
        """Return the channels of the convolutions and the units of the LSTMs, with every tensor entry they own.

        Args:
            consumer: matrix whose columns multiply the encoder frames.
        """
        config, front = self.config, "front"
        first, second = config.cnn_channels
        kernels = (
            Member.strided(f"{front}.conv1.weight", size=first),
            Member.strided(f"{front}.conv1.bias", size=first),
            Member.strided(f"{front}.conv2.weight", size=first, axis=1),
        )
        bins = config.num_bins[1]
        groups = [UnitGroup(name=f"{front}.conv1", kind="conv", size=first, members=kernels)]
        members = [
            Member.strided(f"{front}.conv2.weight", size=second),
            Member.strided(f"{front}.conv2.bias", size=second),
            Member.strided(f"{front}.norm.gain", size=second, width=bins),
            *(Member.strided(name, size=second, width=bins, axis=1) for name in self._readers(0, consumer)),
        ]
        groups.append(UnitGroup(name=f"{front}.conv2", kind="conv", size=second, members=members))
        for number, widths in enumerate(config.layers):
            for direction, size, offset in (("ahead", widths.ahead, 0), ("back", widths.back, widths.ahead)):
                if size:
                    name = f"layers.{number}.{direction}"
                    outputs = [(f"layers.{number}.norm.gain", 0)]
                    outputs += [(reader, 1) for reader in self._readers(number + 1, consumer)]
                    groups.append(lstm_group(name, size, outputs=outputs, offset=offset))
        return groups

    def _readers(self, number, consumer):
        """Return the names of the matrices whose columns multiply what layer `number` reads."""
        if number == len(self.layers):
            return [consumer]
        directions = ("ahead", "back") if self.config.layers[number].back else ("ahead",)
        return [f"layers.{number}.{direction}.weight_ih_l0" for direction in directions]


def lstm_group(name, size, *, outputs, offset=0):
    """Return the units of one LSTM: four gate rows, the columns that read them back, and what follows.

    With all of it at zero the cell input tanh(0) is 0, so that cell and output stay 0.

    Args:
        name: path of the nn.LSTM.
        outputs: (tensor, axis) of everything behind it that counts its units.
        offset: index of its first unit there.
    """
    gates = tuple(range(0, _GATES * size, size))
    members = [
        Member.strided(f"{name}.{tensor}_l0", size=size, offsets=gates)
        for tensor in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    members.append(Member.strided(f"{name}.weight_hh_l0", size=size, axis=1))
    members += [Member.strided(tensor, size=size, axis=axis, offsets=(offset,)) for tensor, axis in outputs]
    return UnitGroup(name=name, kind="lstm", size=size, members=members)
