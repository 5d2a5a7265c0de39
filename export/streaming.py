"""One chunk of a Conformer, written for inference engines: the sums of `Conformer.step` in fewer, larger operations.

What differs from the training code, and why it computes the same:
* Rows of a matrix are (frame, stream) pairs, frame first, so that attention needs no transposition that an engine
  cannot fold into its matrix products, and biases fold into them.
* Constants are folded: feature normalisation into the first product, 1/sqrt(K) into the queries, 1/2 into the
  feed-forward outputs, the relative-position bias into a table of this chunk length.
* The RMS norm divides by the present channel count, with epsilon and gain scaled to match: the form engines know.
Every export compares this module with `Conformer` (export/verify.py).

Axes: N streams, T frames of a chunk, L frames of left context, W = L + T, M = T * N rows, D model width, H heads,
K head width, C convolution channels, R cached frames of the convolution, F mel bins, V symbols.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from export.folding import fold, fold_query_key_value

_MASKED = -1e9
_RMS_EPSILON = 1e-5


class StreamingStep(nn.Module):
    """`Conformer.step` behind the inputs and outputs of a `Container`.

    Args:
        model: Conformer, in evaluation mode; its tensors are copied.
        container: Container of its config.
    """

    def __init__(self, model, *, container):
        super().__init__()
        config = model.config
        self.container = container
        self.subsampling = _Subsampling(model.subsampling, chunk=container.chunk_frames)
        self.blocks = nn.ModuleList([_Block(block, chunk=container.chunk_frames) for block in model.blocks])
        self.head = _Product(*fold(model.head))
        self.head_width = config.head_width
        window = config.left_context_frames + container.chunk_frames
        self.register_buffer("window", torch.arange(window).view(1, 1, 1, window))

    def forward(self, x_NTF, key, nonlinear, value1, value2, conv1, conv2, embed, num_past):
        """Recognise one chunk.

        Args:
            x_NTF: float32 (N, 4T+3, F) features.
            key, ..., num_past: the states of the container.
        Returns:
            (N, T, V) log-probabilities, and the next states in the same order.
        """
        x_MD = self.subsampling(x_NTF)
        left = self.container.config.left_context_frames
        mask_N11W = torch.where(self.window >= (left - num_past).view(-1, 1, 1, 1), 0.0, _MASKED)
        keys = self._split_keys(key)
        channels = self._split_channels(conv1, conv2)
        next_keys, next_channels = [], []
        for block in self.blocks:
            if block.ff1 is not None:
                x_MD = block.ff1(x_MD)
            if block.attention is not None:
                x_MD, *new = block.attention(x_MD, next(keys), next(keys), mask_N11W)
                next_keys += new
            if block.convolution is not None:
                x_MD, cache = block.convolution(x_MD, next(channels))
                next_channels.append(cache)
            if block.ff2 is not None:
                x_MD = block.ff2(x_MD)
            x_MD = block.norm(x_MD)
        chunk, vocab = self.container.chunk_frames, self.container.config.vocab_size
        logits_NTV = self.head(x_MD).reshape(chunk, -1, vocab).transpose(0, 1)
        return (
            torch.log_softmax(logits_NTV, -1),
            self._join_keys(key, next_keys),
            nonlinear.clone(),
            value1.clone(),
            value2.clone(),
            *self._join_channels(conv1, conv2, next_channels, rest=list(channels)),
            embed.clone(),
            num_past + chunk,
        )

    def _split_keys(self, key):
        """Yield the cached keys, then values, of each block that has attention: (L, N, H, K)."""
        heads = [widths.heads for widths in self.container.config.blocks if widths.heads]
        if not heads:
            return iter(())
        left = self.container.config.left_context_frames
        each = key.reshape(left, -1, 2 * sum(heads), self.head_width)
        return iter(each.split([count for count in heads for _ in range(2)], 2))

    def _join_keys(self, key, following):
        """Return the next `cached_key_0`: the last L frames of what was cached and what this chunk adds."""
        if not following:
            return key.clone()
        left, chunk = self.container.config.left_context_frames, self.container.chunk_frames
        new = torch.cat(following, 2).reshape(chunk, -1, key.shape[2])
        return torch.cat([key[chunk:], new]) if chunk < left else new[chunk - left :]

    def _split_channels(self, conv1, conv2):
        """Yield the convolution caches (N, C, R) of each block that has one, then the spare channels, if any."""
        widths = [width for width in self.container.conv_widths if width]
        if not widths:
            return iter(())
        spare = 2 * self.container.encoder_dims - sum(widths)
        return iter(torch.cat([conv1, conv2], 1).split(widths + [spare] * (spare > 0), 1))

    def _join_channels(self, conv1, conv2, following, *, rest):
        if not following:
            return conv1.clone(), conv2.clone()
        return torch.cat(following + rest, 1).split(self.container.encoder_dims, 1)


class _Product(nn.Module):
    """x @ weight + bias, the weight stored as (in, out): the form that int8 conversion and constant packing know."""

    def __init__(self, weight, bias):
        super().__init__()
        self.register_buffer("weight", weight.float().t().contiguous())
        self.register_buffer("bias", bias.float())

    def forward(self, x):
        return x @ self.weight + self.bias


class _Subsampling(nn.Module):
    """Features to rows: (N, 4T+3, F) -> (M, D). Frames are picked by index, three in a row of the matrix."""

    def __init__(self, source, *, chunk):
        super().__init__()
        weight, bias = fold(source.conv1)
        weight = weight * source.inverse_std.double().repeat(3)
        # The means are large beside the deviations: another reason for float64.
        self.conv1 = _Product(weight, bias - weight @ source.mean.double().repeat(3))
        self.conv2 = _Product(*fold(source.conv2))
        self.chunk, self.num_half = chunk, 2 * chunk + 1
        taps = torch.arange(3)
        self.register_buffer("taps1", (2 * torch.arange(self.num_half)[:, None] + taps).flatten())
        self.register_buffer("taps2", (2 * torch.arange(chunk)[:, None] + taps).flatten())

    def forward(self, x_NTF):
        in1, (in2, width) = self.conv1.weight.shape[0], self.conv2.weight.shape
        x = _silu(self.conv1(x_NTF.index_select(1, self.taps1).reshape(-1, in1)))
        x = x.reshape(-1, self.num_half, in2 // 3).index_select(1, self.taps2)
        x = self.conv2(x.reshape(-1, in2))
        return x.reshape(-1, self.chunk, width).transpose(0, 1).reshape(-1, width)


class _Block(nn.Module):
    """The modules of one Conformer block; None where the width is 0."""

    def __init__(self, source, *, chunk):
        super().__init__()
        self.ff1 = _FeedForward(source.ff1) if source.ff1 is not None else None
        self.attention = _Attention(source.attention, chunk=chunk) if source.attention is not None else None
        self.convolution = _Convolution(source.convolution, chunk=chunk) if source.convolution is not None else None
        self.ff2 = _FeedForward(source.ff2) if source.ff2 is not None else None
        self.norm = source.norm


class _FeedForward(nn.Module):
    """x + half of the feed-forward module."""

    def __init__(self, source):
        super().__init__()
        self.norm = source.norm
        self.up = _Product(*fold(source.up))
        self.down = _Product(*fold(source.down, scale=0.5))

    def forward(self, x_MD):
        return x_MD + self.down(_silu(self.up(self.norm(x_MD))))


class _Attention(nn.Module):
    """x + attention over the cached frames and the chunk."""

    def __init__(self, source, *, chunk):
        super().__init__()
        self.chunk, self.num_heads, self.head_width = chunk, source.num_heads, source.head_width
        self.norm = source.norm
        self.query_key_value = _Product(*fold_query_key_value(source))
        self.out = _Product(*fold(source.out))
        self.register_buffer("position_bias", source.bias_HSW(chunk=chunk, left=source.left).detach()[None].clone())

    def forward(self, x_MD, key_LNHK, value_LNHK, mask_N11W):
        """Return (M, D), and the keys and values of this chunk: (T, N, H, K)."""
        H, K = self.num_heads, self.head_width
        projected = self.query_key_value(self.norm(x_MD)).reshape(self.chunk, -1, 3 * H, K)
        query, new_key, new_value = projected.split(H, 2)
        key = torch.cat([key_LNHK, new_key])
        value = torch.cat([value_LNHK, new_value])
        logits = query.permute(1, 2, 0, 3) @ key.permute(1, 2, 3, 0) + self.position_bias + mask_N11W
        mixed_NHTK = torch.softmax(logits, -1) @ value.permute(1, 2, 0, 3)
        return x_MD + self.out(mixed_NHTK.permute(2, 0, 1, 3).reshape(-1, H * K)), new_key, new_value


class _Convolution(nn.Module):
    """x + convolution module; the depthwise convolution is two-dimensional, for which engines have fast kernels."""

    def __init__(self, source, *, chunk):
        super().__init__()
        channels, kernel = source.depthwise.weight.shape
        self.chunk, self.channels, self.reach = chunk, channels, source.depthwise.reach
        self.norm = source.norm
        self.pointwise_in = _Product(*fold(source.pointwise_in))
        self.pointwise_out = _Product(*fold(source.pointwise_out))
        weight = source.depthwise.weight.detach().reshape(channels, 1, 1, kernel)
        self.register_buffer("depthwise_weight", weight.clone())
        self.register_buffer("depthwise_bias", source.depthwise.bias.detach().clone())
        # x / sqrt(sum / divisor + e) = x / sqrt(sum / C + e * divisor / C) * sqrt(divisor / C)
        ratio = source.channel_norm.divisor / channels
        self.epsilon = _RMS_EPSILON * ratio
        self.register_buffer("gain", source.channel_norm.gain.detach() * math.sqrt(ratio))

    def forward(self, x_MD, cache_NCR):
        """Return (M, D) and the next cache."""
        signal, gate = self.pointwise_in(self.norm(x_MD)).chunk(2, -1)
        gated = (signal * torch.sigmoid(gate)).reshape(self.chunk, -1, self.channels)
        window = torch.cat([cache_NCR, gated.permute(1, 2, 0)], 2)
        padded = F.pad(window.unsqueeze(2), (0, self.reach))
        mixed = F.conv2d(padded, self.depthwise_weight, self.depthwise_bias, groups=self.channels)
        rows = mixed.squeeze(2).permute(2, 0, 1).reshape(-1, self.channels)
        normed = rows / torch.sqrt(rows.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.gain
        return x_MD + self.pointwise_out(_silu(normed)), window[..., self.chunk :]


def _silu(x):
    # Spelled out: exporters turn F.silu into the same two operations, after a decomposition of their own.
    return x * torch.sigmoid(x)
