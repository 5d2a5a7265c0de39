"""Streaming Conformer encoder: log-mel frames -> encoder frames, 40 ms apart.

Shapes: B batch, T encoder frames, F mel bins, D model width, W frames a window (left context + chunk), N chunks.
Source: Gulati et al. 2020 (Conformer); chunked attention as in Zhang et al. 2020 (U2).
"""

from dataclasses import dataclass

import torch
from torch import nn

from lottery_train.models.backbone import ModelSettings
from lottery_train.models.config import BlockWidths
from lottery_train.models.layers import MASKED, Attention, Convolution, FeedForward, Subsampling, window_mask
from lottery_train.units import Member, UnitGroup


@dataclass(frozen=True, kw_only=True)
class ConformerEncoderSettings(ModelSettings):
    """A Conformer encoder, all blocks alike.

    Args:
        num_blocks: Conformer blocks.
        model_width: width of the residual stream, kept by every shrinking.
        stem_width: channels between the two strided convolutions of the subsampling.
        ff: neurons of each of a block's two feed-forward modules.
        heads: attention heads of a block.
        head_width: width of one attention head.
        conv: channels of a block's convolution module.
        conv_kernel: taps of the depthwise convolution, odd.
        left_context_frames: encoder frames (40 ms) before a chunk that attention sees.
        dropout: probability, one draw a channel and utterance.
    """

    num_blocks: int = 4
    model_width: int = 128
    stem_width: int = 64
    ff: int = 448
    heads: int = 4
    head_width: int = 32
    conv: int = 128
    conv_kernel: int = 15
    left_context_frames: int = 64
    dropout: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_blocks", "model_width", "stem_width", "ff", "heads", "head_width", "conv"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        self.require("conv_kernel", self.conv_kernel >= 1 and self.conv_kernel % 2, "a positive odd number")
        reach = self.conv_kernel // 2
        self.require(
            "left_context_frames", self.left_context_frames >= reach, f"at least {reach}, half of model.conv_kernel"
        )
        self.require("dropout", 0 <= self.dropout < 1, "at least 0 and less than 1")

    def conformer_fields(self):
        """Return the fields of the `ConformerEncoderConfig` that these settings ask for."""
        widths = BlockWidths(ff1=self.ff, heads=self.heads, conv=self.conv, ff2=self.ff, conv_norm=self.conv)
        names = ("model_width", "stem_width", "head_width", "conv_kernel", "left_context_frames", "dropout")
        return {"blocks": (widths,) * self.num_blocks} | {name: getattr(self, name) for name in names}


class Block(nn.Module):
    """Half-step feed-forward, attention, convolution, half-step feed-forward, norm; a module of width 0 is absent."""

    def __init__(self, config, widths):
        super().__init__()
        width, dropout = config.model_width, config.dropout

        def feed_forward(size):
            return FeedForward(width, size, dropout=dropout) if size else None

        self.ff1 = feed_forward(widths.ff1)
        self.attention = (
            Attention(
                width,
                widths.heads,
                head_width=config.head_width,
                left=config.left_context_frames,
                max_chunk=config.max_chunk_frames,
                dropout=dropout,
            )
            if widths.heads
            else None
        )
        self.convolution = (
            Convolution(width, widths.conv, kernel=config.conv_kernel, norm_divisor=widths.conv_norm, dropout=dropout)
            if widths.conv
            else None
        )
        self.ff2 = feed_forward(widths.ff2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTD, *, chunk, mask_BNHSW, attention_cache=None, conv_cache=None):
        """Return (B, T, D) and the two next caches (None without caches, unchanged where the module is absent)."""
        x = x_BTD
        if self.ff1 is not None:
            x = x.add(self.ff1(x), alpha=0.5)
        if self.attention is not None:
            y, attention_cache = self.attention(x, mask_BNHSW=mask_BNHSW, cache=attention_cache)
            x = x + y
        if self.convolution is not None:
            y, conv_cache = self.convolution(x, chunk=chunk, cache=conv_cache)
            x = x + y
        if self.ff2 is not None:
            x = x.add(self.ff2(x), alpha=0.5)
        return self.norm(x), attention_cache, conv_cache


class ConformerEncoder(nn.Module):
    """Features -> encoder frames, as a `ConformerEncoderConfig` says; Conformer-CTC and transducer share it."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.subsampling = Subsampling(
            num_mels=config.num_mels, stem_width=config.stem_width, model_width=config.model_width
        )
        self.blocks = nn.ModuleList([Block(config, widths) for widths in config.blocks])

    @property
    def width(self):
        """Width of an encoder frame."""
        return self.config.model_width

    @property
    def hidden_width(self):
        """Width of the layer half-way up."""
        return self.config.model_width

    @property
    def middle(self):
        """Blocks below the character loss: half of them."""
        return (len(self.blocks) + 1) // 2

    def set_normalisation(self, *, mean, deviation):
        """Set the feature statistics: array (F,) of means and of standard deviations."""
        self.subsampling.set_normalisation(mean=mean, deviation=deviation)

    def encode(self, x_BTF, *, chunk, lengths=None, tap=None):
        """Encode whole utterances as a stream of chunks would.

        Args:
            x_BTF: float32 (B, 4T+3, F) log-mel features, T a multiple of `chunk`, padded with PADDING_VALUE.
            chunk: encoder frames a chunk; T itself for full context.
            lengths: int64 (B,) encoder frames, whole chunks; not needed: no frame sees a later chunk.
            tap: None, or a number of blocks.
        Returns:
            (B, T, D) encoder frames, and (B, T, D) after `tap` blocks or None.
        Raises:
            ValueError: the number of frames does not fit the chunk.
        """
        if (x_BTF.shape[1] - 3) % (4 * chunk) or x_BTF.shape[1] <= 3:
            raise ValueError(f"{x_BTF.shape[1]} feature frames, expected 4 * n * {chunk} + 3")
        x = self.subsampling(x_BTF)
        mask_BNHSW = window_mask(x.shape[1], chunk=chunk, left=self.config.left_context_frames).to(x)
        tapped = None
        for number, block in enumerate(self.blocks, start=1):
            x, _, _ = block(x, chunk=chunk, mask_BNHSW=mask_BNHSW)
            tapped = x if number == tap else tapped
        return x, tapped

    def encode_step(self, x_BTF, *, chunk, caches, num_past):
        """Encode one chunk, carrying state: arguments as for `Conformer.step`; (B, chunk, D) and the next caches."""
        x = self.subsampling(x_BTF)
        left = self.config.left_context_frames
        window = torch.arange(left + chunk, device=x.device)[None]
        exists = window >= (left - num_past)[:, None]
        mask_BNHSW = torch.where(exists, 0.0, MASKED).to(x.dtype)[:, None, None, None]
        following = []
        for block, (attention_cache, conv_cache) in zip(self.blocks, caches, strict=True):
            x, attention_cache, conv_cache = block(
                x, chunk=chunk, mask_BNHSW=mask_BNHSW, attention_cache=attention_cache, conv_cache=conv_cache
            )
            following.append((attention_cache, conv_cache))
        return x, following

    def initial_caches(self, batch):
        """Return the caches of streams that have seen nothing: zeros, shapes as the widths say."""
        config = self.config
        return [
            (
                torch.zeros(batch, config.left_context_frames, 2 * widths.heads * config.head_width),
                torch.zeros(batch, widths.conv, config.conv_reach),
            )
            for widths in config.blocks
        ]

    def unit_groups(self, *, consumer="head.weight"):
        """Return the removable structures of every block, with every tensor entry they own.

        Args:
            consumer: matrix whose columns multiply the encoder frames: no unit owns any of it, the stream stays whole.
        """
        groups = []
        for number, widths in enumerate(self.config.blocks):
            prefix = f"blocks.{number}"
            for name, size in (("ff1", widths.ff1), ("ff2", widths.ff2)):
                if size:
                    groups.append(_ff_group(f"{prefix}.{name}", size))
            if widths.heads:
                groups.append(_head_group(f"{prefix}.attention", widths.heads, self.config))
            if widths.conv:
                groups.append(_conv_group(f"{prefix}.convolution", widths.conv))
        return groups


def _ff_group(name, size):
    each = tuple((unit,) for unit in range(size))
    members = (
        Member(tensor=f"{name}.up.weight", axis=0, index=each),
        Member(tensor=f"{name}.up.bias", axis=0, index=each),
        Member(tensor=f"{name}.down.weight", axis=1, index=each),
    )
    return UnitGroup(name=name, kind="ff", size=size, members=members)


def _head_group(name, size, config):
    def ranges(width):
        return tuple(tuple(range(head * width, (head + 1) * width)) for head in range(size))

    rows = ranges(config.head_width)
    members = tuple(
        Member(tensor=f"{name}.{projection}.{kind}", axis=0, index=rows)
        for projection in ("query", "key", "value")
        for kind in ("weight", "bias")
    )
    members += (
        Member(tensor=f"{name}.out.weight", axis=1, index=rows),
        Member(tensor=f"{name}.position_bias", axis=0, index=ranges(config.num_distances)),
    )
    return UnitGroup(name=name, kind="head", size=size, members=members)


def _conv_group(name, size):
    each = tuple((unit,) for unit in range(size))
    halves = tuple((unit, size + unit) for unit in range(size))
    members = (
        Member(tensor=f"{name}.pointwise_in.weight", axis=0, index=halves),
        Member(tensor=f"{name}.pointwise_in.bias", axis=0, index=halves),
        Member(tensor=f"{name}.depthwise.weight", axis=0, index=each),
        Member(tensor=f"{name}.depthwise.bias", axis=0, index=each),
        Member(tensor=f"{name}.channel_norm.gain", axis=0, index=each),
        Member(tensor=f"{name}.pointwise_out.weight", axis=1, index=each),
    )
    return UnitGroup(name=name, kind="conv", size=size, members=members)
