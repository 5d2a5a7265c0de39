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


class Subsampling(nn.Module):
    """Feature normalisation and two strided convolutions: 10 ms frames -> 40 ms frames; 4T+3 frames give T."""

    def __init__(self, *, num_mels, stem_width, model_width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_mels))
        self.register_buffer("inverse_std", torch.ones(num_mels))
        self.conv1 = StridedConv(num_mels, stem_width)
        self.conv2 = StridedConv(stem_width, model_width)

    def forward(self, x_BTF):
        x = (x_BTF - self.mean) * self.inverse_std
        return self.conv2(F.silu(self.conv1(x)))


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
    def forward(ctx, x_BNSC, num_past):
        ctx.num_past = num_past
        padded = F.pad(x_BNSC, (0, 0, 0, 0, num_past, 0))
        num_chunks = x_BNSC.shape[1]
        return torch.cat([padded[:, past : past + num_chunks] for past in range(num_past + 1)], 2)

    @staticmethod
    def backward(ctx, grad_BNWC):
        batch, num_chunks, window, channels = grad_BNWC.shape
        num_past = ctx.num_past
        size = window // (num_past + 1)
        total = grad_BNWC.new_zeros(batch, num_chunks + num_past, size, channels)
        for past in range(num_past + 1):
            total[:, past : past + num_chunks] += grad_BNWC[:, :, past * size : (past + 1) * size]
        return total[:, num_past:], None


def chunk_windows(x_BTC, *, chunk, left):
    """Cut an utterance into windows of `left` past frames and one chunk each, zeros before the start.

    Args:
        x_BTC: (B, T, C), T a multiple of `chunk`.
    Returns:
        (B, N, left + chunk, C).
    """
    B, T, C = x_BTC.shape
    num_past = -(-left // chunk)
    return _ChunkWindows.apply(x_BTC.reshape(B, T // chunk, chunk, C), num_past)[:, :, num_past * chunk - left :]


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
        query = torch.arange(chunk) + left
        distance = query[:, None] - torch.arange(left + chunk)[None]
        index = (distance + self.max_chunk - 1).clamp(0, self.num_distances - 1)
        return self.position_bias.view(self.num_heads, self.num_distances)[:, index.to(self.position_bias.device)]

    def forward(self, x_BTD, *, chunk, mask_NW, cache=None):
        """Attend; `mask_NW` is added to the logits: 0 for frames that exist, a large negative number otherwise.

        Args:
            cache: None, or (B, left, 2*H*K): keys and values of the frames before this chunk.
        Returns:
            (B, T, D), and the keys and values of the last `left` frames (None without a cache).
        """
        B, T, _ = x_BTD.shape
        H, K = self.num_heads, self.head_width
        left = mask_NW.shape[-1] - chunk
        # One product for the three projections: fewer, larger matrices in training and in the exported graph.
        projections = (self.query, self.key, self.value)
        weight = torch.cat([layer.weight for layer in projections])
        bias = torch.cat([layer.bias for layer in projections])
        query, key_value = F.linear(self.norm(x_BTD), weight, bias).split([H * K, 2 * H * K], -1)
        if cache is None:
            windows = chunk_windows(key_value, chunk=chunk, left=left)
        else:
            windows = torch.cat([cache, key_value], 1)
            cache = windows[:, chunk:]
        N = T // chunk
        key, value = windows.reshape(B * N, left + chunk, 2, H, K).permute(2, 0, 3, 1, 4)
        query = query.reshape(B * N, chunk, H, K).transpose(1, 2) * (1 / math.sqrt(K))
        logits = query @ key.transpose(-1, -2) + self.bias_HSW(chunk=chunk, left=left)
        logits = (logits.view(B, N, H, chunk, left + chunk) + mask_NW[:, None, None]).view_as(logits)
        mixed = torch.softmax(logits, -1) @ value
        return self.out(self.dropout(mixed.transpose(1, 2).reshape(B, T, H * K))), cache


class ChannelRMSNorm(nn.Module):
    """RMS norm over channels that divides by the channel count before any shrinking.

    A removed channel then leaves the norm exactly as a zeroed one does, which makes masked == shrunk.
    """

    def __init__(self, channels, *, divisor):
        super().__init__()
        self.divisor = divisor
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x_BTC):
        mean_square = x_BTC.float().square().sum(-1, keepdim=True) * (1 / self.divisor)
        return x_BTC * torch.rsqrt(mean_square + 1e-5).to(x_BTC.dtype) * self.gain.to(x_BTC.dtype)


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
        tap = torch.arange(self.reach + chunk)[:, None] - torch.arange(chunk)[None]
        kernel = self.weight.shape[1]
        inside = ((tap >= 0) & (tap < kernel)).to(self.weight)
        return self.weight[:, tap.clamp(0, kernel - 1).to(self.weight.device)] * inside

    def forward(self, windows_MWC, *, chunk):
        """Convolve M windows of reach + chunk frames: (M, W, C) -> (M, S, C).

        As a product with a banded matrix the gradient is 3.5x cheaper than conv1d's on a CPU (32 windows of 23, 128
        channels).
        """
        out_CMS = torch.bmm(windows_MWC.permute(2, 0, 1), self.toeplitz_CWS(chunk))
        return out_CMS.permute(1, 2, 0) + self.bias

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
        B, T, _ = x_BTD.shape
        signal, gate = self.pointwise_in(self.norm(x_BTD)).chunk(2, -1)
        gated = signal * torch.sigmoid(gate)
        reach = self.depthwise.reach
        if cache is None:
            windows = chunk_windows(gated, chunk=chunk, left=reach).flatten(0, 1)
            mixed = self.depthwise(windows, chunk=chunk).reshape(B, T, -1)
        else:
            window = torch.cat([cache, gated.transpose(1, 2)], 2)
            cache = window[:, :, chunk:]
            mixed = self.depthwise.step(window, chunk=chunk)
        return self.pointwise_out(self.dropout(F.silu(self.channel_norm(mixed)))), cache
