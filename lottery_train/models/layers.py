"""Layers of the streaming Conformer. Every layer sees chunks: a window of its past, and the chunk itself.

Shapes: B batch, T encoder frames, N chunks, S frames a chunk, W frames a window (left context + chunk), F mel bins,
D model width, H heads, K head width, C convolution channels.
A layer called with `cache=None` cuts its windows out of the whole utterance (training, offline); called with a cache it
takes one chunk and returns the next cache (streaming). Both run the same arithmetic on the same windows.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

MASKED = -1e9


class PointwiseConv(nn.Linear):
    """A convolution of kernel 1 on channels-last activations."""


class StridedConv(nn.Linear):
    """A convolution over time, kernel 3, stride 2, no padding, on channels-last activations: (B, T, F) -> (B,
    (T-1)//2, out).

    Stacking three frames and multiplying is the same sum as Conv1d, and runs as one matrix product on every backend.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__(3 * in_channels, out_channels)

    def forward(self, x_BTF):
        num_out = (x_BTF.shape[1] - 1) // 2
        taps = [x_BTF[:, tap : tap + 2 * num_out - 1 : 2] for tap in range(3)]
        return super().forward(torch.cat(taps, -1))


class ChannelDropout(nn.Module):
    """Dropout with one draw a channel and utterance, shared over time: 50x cheaper than one a value.

    Source: Gal & Ghahramani 2016 (variational dropout).
    """

    def __init__(self, probability):
        super().__init__()
        self.probability = probability

    def forward(self, x_BTD):
        if not self.training or self.probability == 0:
            return x_BTD
        keep = 1 - self.probability
        return x_BTD * (torch.rand(x_BTD.shape[0], 1, x_BTD.shape[2], device=x_BTD.device) < keep).to(x_BTD.dtype).div_(
            keep
        )


class NormalisedInput(nn.Module):
    """Base of what reads features: every mel bin to mean 0 and deviation 1 over the training set."""

    def __init__(self, num_mels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_mels))
        self.register_buffer("inverse_std", torch.ones(num_mels))

    def set_normalisation(self, *, mean, deviation):
        """Set the feature statistics: array (F,) of means and of standard deviations."""
        self.mean.copy_(torch.as_tensor(mean))
        self.inverse_std.copy_(1 / torch.as_tensor(deviation).clamp_min(1e-3))

    def normalised(self, x_BTF):
        """Return the features with the statistics taken out."""
        return (x_BTF - self.mean) * self.inverse_std


class Subsampling(NormalisedInput):
    """Feature normalisation and two strided convolutions: 10 ms frames -> 40 ms frames; 4T+3 frames give T."""

    def __init__(self, *, num_mels, stem_width, model_width):
        super().__init__(num_mels)
        self.conv1 = StridedConv(num_mels, stem_width)
        self.conv2 = StridedConv(stem_width, model_width)

    def forward(self, x_BTF):
        return self.conv2(F.silu(self.conv1(self.normalised(x_BTF))))


class FeedForward(nn.Module):
    """Pre-norm feed-forward module with SiLU."""

    def __init__(self, model_width, width, *, dropout):
        super().__init__()
        self.norm = nn.LayerNorm(model_width)
        self.up = nn.Linear(model_width, width)
        self.down = nn.Linear(width, model_width)
        self.dropout = ChannelDropout(dropout)

    def forward(self, x_BTD):
        return self.down(self.dropout(F.silu(self.up(self.norm(x_BTD)))))


class _ChunkWindows(torch.autograd.Function):
    """Overlapping windows whose gradient adds whole chunks: 4x cheaper than the gradient of `unfold`."""

    @staticmethod
    def forward(ctx, x_BTC, chunk, left):
        ctx.chunk, ctx.left = chunk, left
        return F.pad(x_BTC, (0, 0, left, 0)).unfold(1, left + chunk, chunk).transpose(2, 3).contiguous()

    @staticmethod
    def backward(ctx, grad_BNWC):
        chunk, left = ctx.chunk, ctx.left
        total_BNSC = grad_BNWC[:, :, left:].contiguous()
        for past in range(1, min(-(-left // chunk), grad_BNWC.shape[1] - 1) + 1):
            end = left - (past - 1) * chunk
            part = grad_BNWC[:, past:, max(0, end - chunk) : end]
            total_BNSC[:, :-past, chunk - part.shape[2] :] += part
        return total_BNSC.flatten(1, 2), None, None


def toeplitz(taps_CP, *, rows):
    """Return the (C, rows, P-1) matrices with taps_CP[c, (column - row) % P] at (row, column).

    Cut out of repeated taps: its gradient is a sum over rows, where that of an index is a scatter.
    """
    channels, period = taps_CP.shape
    flat = taps_CP[:, None].expand(channels, rows, period).reshape(channels, rows * period)
    return flat[:, : rows * (period - 1)].view(channels, rows, period - 1)


def chunk_windows(x_BTC, *, chunk, left):
    """Cut an utterance into windows of `left` past frames and one chunk each, zeros before the start.

    Args:
        x_BTC: (B, T, C), T a multiple of `chunk`.
    Returns:
        (B, N, left + chunk, C).
    """
    if left == 0:
        return x_BTC.unflatten(1, (-1, chunk))
    return _ChunkWindows.apply(x_BTC, chunk, left)


def window_mask(num_frames, *, chunk, left):
    """Return the mask of chunked attention, computed for several chunks at a time.

    A window serves as many chunks as the left context holds, or the whole utterance where that is no more work: a
    window for every chunk would copy and multiply each key left / chunk times.

    Args:
        num_frames: a multiple of `chunk`.
        left: frames before its chunk that a query sees.
    Returns:
        float32 (1, N, 1, S, W): 0 where query s of window n sees key w, a large negative number elsewhere. Queries
        beyond the utterance are padding.
    """
    rows = chunk * max(1, left // chunk)
    if num_frames <= left + rows:
        rows = num_frames
    start_N11 = torch.arange(0, num_frames, rows)[:, None, None]
    left_W = min(left, int(start_N11[-1]))
    key_N1W = start_N11 - left_W + torch.arange(left_W + rows)
    chunk_NS1 = (start_N11 + torch.arange(rows)[:, None]) // chunk * chunk
    is_seen = (key_N1W >= 0) & (key_N1W >= chunk_NS1 - left) & (key_N1W < chunk_NS1 + chunk)
    return torch.where(is_seen, 0.0, MASKED)[None, :, None]


class Attention(nn.Module):
    """Multi-head attention over a bounded window with a learned bias for each head and distance.

    The bias is stored flat, head after head, so that one head's entries are a contiguous range of it.
    Source: Raffel et al. 2020 (T5), sec. 2.1: relative position as a bias on the logits, one entry a distance.
    """

    def __init__(self, model_width, num_heads, *, head_width, left, max_chunk, dropout):
        super().__init__()
        self.num_heads, self.head_width = num_heads, head_width
        self.left, self.max_chunk = left, max_chunk
        self.num_distances = left + 2 * max_chunk - 1
        width = num_heads * head_width
        self.norm = nn.LayerNorm(model_width)
        self.query = nn.Linear(model_width, width)
        self.key = nn.Linear(model_width, width)
        self.value = nn.Linear(model_width, width)
        self.out = nn.Linear(width, model_width)
        self.position_bias = nn.Parameter(torch.zeros(num_heads * self.num_distances))
        self.dropout = ChannelDropout(dropout)

    def bias_HSW(self, *, chunk, left):
        """Return the bias of every query in a chunk against every key of its window."""
        window = left + chunk
        offset = torch.arange(window + chunk, device=self.position_bias.device)
        distance = left - torch.where(offset < window, offset, offset - window - chunk)
        index = (distance + self.max_chunk - 1).clamp(0, self.num_distances - 1)
        taps_HP = self.position_bias.view(self.num_heads, self.num_distances)[:, index]
        return toeplitz(taps_HP, rows=chunk)[:, :, :window]

    def forward(self, x_BTD, *, mask_BNHSW, cache=None):
        """Attend; the mask is added to the logits: 0 where a query sees a key, a large negative number elsewhere.

        Args:
            mask_BNHSW: (1, N, 1, S, W) of `window_mask`; with a cache (B, 1, 1, 1, W), the whole chunk sees the same.
            cache: None, or (B, left, 2*H*K): keys and values of the frames before this chunk.
        Returns:
            (B, T, D), and the keys and values of the last `left` frames (None without a cache).
        """
        B, T, _ = x_BTD.shape
        H, K = self.num_heads, self.head_width
        N, W = mask_BNHSW.shape[1], mask_BNHSW.shape[4]
        S = T if cache is not None else mask_BNHSW.shape[3]
        # One product for the three projections: fewer, larger matrices in training and in the exported graph.
        projections = (self.query, self.key, self.value)
        weight = torch.cat([layer.weight for layer in projections])
        bias = torch.cat([layer.bias for layer in projections])
        projected = F.linear(self.norm(x_BTD), weight, bias)
        if N * S > T:
            projected = F.pad(projected, (0, 0, 0, N * S - T))
        query, key_value = projected.split([H * K, 2 * H * K], -1)
        if cache is None:
            windows = chunk_windows(key_value, chunk=S, left=W - S)
        else:
            windows = torch.cat([cache, key_value], 1)
            cache = windows[:, S:]
        key, value = windows.reshape(B * N, W, 2, H, K).permute(2, 0, 3, 1, 4)
        query = query.reshape(B * N, S, H, K).transpose(1, 2) * (1 / math.sqrt(K))
        logits = query @ key.transpose(-1, -2)
        bias_BNHSW = self.bias_HSW(chunk=S, left=W - S).to(logits.dtype) + mask_BNHSW
        logits = (logits.view(B, N, H, S, W) + bias_BNHSW).view_as(logits)
        mixed = torch.softmax(logits, -1) @ value
        return self.out(self.dropout(mixed.transpose(1, 2).reshape(B, N * S, H * K)[:, :T])), cache


class ChannelRMSNorm(nn.Module):
    """RMS norm over channels that divides by the channel count before any shrinking.

    A removed channel then leaves the norm exactly as a zeroed one does, which makes masked == shrunk.
    """

    def __init__(self, channels, *, divisor):
        super().__init__()
        self.divisor = divisor
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x, *, axis=-1):
        """Normalise over the channels on an axis: the first or the last one."""
        gain = self.gain.to(x.dtype)
        gain = gain if axis == -1 else gain.view(-1, *[1] * (x.ndim - 1))
        mean_square = x.float().square().sum(axis, keepdim=True) * (1 / self.divisor)
        return x * torch.rsqrt(mean_square + 1e-5).to(x.dtype) * gain


class DepthwiseConv(nn.Module):
    """Depthwise convolution that stays inside the chunk: left context from the past, zeros beyond the chunk's end."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.reach = kernel // 2
        self.weight = nn.Parameter(torch.empty(channels, kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.uniform_(self.weight, -1 / math.sqrt(kernel), 1 / math.sqrt(kernel))

    def toeplitz_CWS(self, chunk):
        """Return each channel's taps as the matrix that maps a window to the chunk's outputs."""
        window = self.reach + chunk
        taps = self.weight[:, :window]
        return toeplitz(F.pad(taps, (0, window + chunk - taps.shape[1])), rows=chunk)[:, :, :window].transpose(1, 2)

    def forward(self, windows_CMW, *, chunk):
        """Convolve M windows of reach + chunk frames: (C, M, W) -> (C, M, S).

        As a product with a banded matrix the gradient is 3.5x cheaper than conv1d's on a CPU (32 windows of 23, 128
        channels).
        """
        return torch.bmm(windows_CMW, self.toeplitz_CWS(chunk)) + self.bias[:, None, None]

    def step(self, window_BCW, *, chunk):
        """The same convolution for one chunk, as the operator that inference engines know: (B, C, W) -> (B, S, C)."""
        padded = F.pad(window_BCW, (0, self.reach))
        return F.conv1d(padded, self.weight.unsqueeze(1), self.bias, groups=self.weight.shape[0]).transpose(1, 2)


class Convolution(nn.Module):
    """Conformer convolution module: pointwise + GLU, depthwise, norm, SiLU, pointwise."""

    def __init__(self, model_width, channels, *, kernel, norm_divisor, dropout):
        super().__init__()
        self.norm = nn.LayerNorm(model_width)
        self.pointwise_in = PointwiseConv(model_width, 2 * channels)
        self.depthwise = DepthwiseConv(channels, kernel)
        self.channel_norm = ChannelRMSNorm(channels, divisor=norm_divisor)
        self.pointwise_out = PointwiseConv(channels, model_width)
        self.dropout = ChannelDropout(dropout)

    def forward(self, x_BTD, *, chunk, cache=None):
        """Convolve.

        Args:
            cache: None, or (B, C, reach): the gated activations before this chunk.
        Returns:
            (B, T, D), and the gated activations of the last `reach` frames (None without a cache).
        """
        if cache is None:
            return self._whole(x_BTD, chunk=chunk), None
        gated = F.glu(self.pointwise_in(self.norm(x_BTD)), -1)
        window = torch.cat([cache, gated.transpose(1, 2)], 2)
        mixed = self.depthwise.step(window, chunk=chunk)
        return self.pointwise_out(self.dropout(F.silu(self.channel_norm(mixed)))), window[:, :, chunk:]

    def _whole(self, x_BTD, *, chunk):
        """Convolve whole utterances, channels first: the depthwise product then needs no transposed copies."""
        B, T, D = x_BTD.shape
        layer = self.pointwise_in
        gated = F.glu(torch.addmm(layer.bias[:, None], layer.weight, self.norm(x_BTD).reshape(B * T, D).t()), 0)
        C = gated.shape[0]
        windows = chunk_windows(gated.view(C * B, T, 1), chunk=chunk, left=self.depthwise.reach)
        mixed = self.depthwise(windows.view(C, B * T // chunk, -1), chunk=chunk)
        mixed = F.silu(self.channel_norm(mixed.view(C, B, T), axis=0))
        return self.pointwise_out(self.dropout(mixed.permute(1, 2, 0)))
