"""The shape of a Conformer, with the widths of every layer: a shrunk model is just another config."""

from dataclasses import asdict, dataclass, replace

from lottery_train.errors import ConfigError
from lottery_train.models.backbone import (
    MAX_KERNEL,
    MAX_WIDTH,
    require_dropout,
    require_integers,
    require_layers,
    require_positive,
    scaled_width,
)
from runtime.foreign import short
from runtime.tokenizer import MAX_SYMBOLS


@dataclass(frozen=True, kw_only=True)
class BlockWidths:
    """Widths of one Conformer block; 0 means that the module is absent.

    Args:
        ff1, ff2: neurons of the first and second feed-forward module.
        heads: attention heads.
        conv: channels of the convolution module.
        conv_norm: channel count that the convolution's RMS norm divides by: `conv` before any shrinking.
    """

    ff1: int
    heads: int
    conv: int
    ff2: int
    conv_norm: int


@dataclass(frozen=True, kw_only=True)
class ConformerEncoderConfig:
    """A streaming Conformer without the layer that names symbols.

    Args:
        num_mels: feature bins a frame.
        stem_width: channels between the two strided convolutions of the subsampling.
        model_width: width of the residual stream, kept by every shrinking.
        head_width: width of one attention head.
        blocks: widths of each block, input first.
        conv_kernel: taps of the depthwise convolution, odd.
        left_context_frames: encoder frames (40 ms) before a chunk that attention sees.
        max_chunk_frames: largest chunk with distances of its own in the relative-position bias; longer ones share the
        last.
        dropout: probability, one draw a channel and utterance.
    Raises:
        ConfigError: a value is out of range.
    """

    num_mels: int = 80
    stem_width: int = 64
    model_width: int = 128
    head_width: int = 32
    blocks: tuple[BlockWidths, ...]
    conv_kernel: int = 15
    left_context_frames: int = 64
    max_chunk_frames: int = 32
    dropout: float = 0.1

    def __post_init__(self):
        require_positive(self, "num_mels", "stem_width", "model_width", "head_width", "max_chunk_frames")
        require_positive(self, "conv_kernel", high=MAX_KERNEL)
        if self.conv_kernel % 2 == 0:
            raise ConfigError(f"conv_kernel is {self.conv_kernel}, expected a positive odd number")
        require_integers(self, "left_context_frames", low=0, high=MAX_WIDTH)
        if self.left_context_frames < self.conv_reach:
            raise ConfigError(f"left_context_frames is {self.left_context_frames}, expected at least {self.conv_reach}")
        require_dropout(self)
        require_layers(self.blocks, name="blocks", kind=BlockWidths)
        for number, widths in enumerate(self.blocks):
            require_integers(widths, "ff1", "heads", "conv", "ff2", "conv_norm", low=0, high=MAX_WIDTH)
            if widths.heads * self.head_width > MAX_WIDTH or widths.conv > widths.conv_norm:
                raise ConfigError(f"blocks[{number}] holds impossible widths: {widths}")

    @property
    def conv_reach(self):
        """Encoder frames that the depthwise convolution sees on either side."""
        return self.conv_kernel // 2

    @property
    def num_distances(self):
        """Entries of one head's relative-position bias: distances -(max_chunk-1) ... left+max_chunk-1."""
        return self.left_context_frames + 2 * self.max_chunk_frames - 1

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, value):
        """Rebuild a config from `to_json()` output read from an untrusted file.

        Raises:
            ConfigError: unknown, missing or ill-typed fields.
        """
        try:
            blocks = tuple(BlockWidths(**block) for block in value["blocks"])
            return cls(**{**value, "blocks": blocks})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a model config: {short(error)}") from error

    @classmethod
    def uniform(cls, *, num_blocks, ff, heads, conv, **fields):
        """Return a config whose blocks are all alike: what a dense model starts from."""
        widths = BlockWidths(ff1=ff, heads=heads, conv=conv, ff2=ff, conv_norm=conv)
        return cls(blocks=(widths,) * num_blocks, **fields)

    def with_blocks(self, blocks):
        """Return the same model with other block widths."""
        return replace(self, blocks=tuple(blocks))

    def scaled(self, factor):
        """Return the dense config of the same depth whose widths are `factor` of these: a control of another size.

        All widths are multiples of 4.
        """
        first = self.blocks[0]
        ff, conv = scaled_width(first.ff1, factor), scaled_width(first.conv_norm, factor)
        widths = BlockWidths(ff1=ff, heads=first.heads, conv=conv, ff2=ff, conv_norm=conv)
        return replace(
            self,
            blocks=(widths,) * len(self.blocks),
            model_width=scaled_width(self.model_width, factor),
            stem_width=scaled_width(self.stem_width, factor),
            head_width=scaled_width(self.head_width, factor),
        )


@dataclass(frozen=True, kw_only=True)
class ConformerConfig(ConformerEncoderConfig):
    """A streaming Conformer-CTC: the encoder's fields, and

    Args:
        vocab_size: symbols, the CTC blank (index 0) among them.
    """

    backbone = "conformer"

    vocab_size: int

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "vocab_size", high=MAX_SYMBOLS)
