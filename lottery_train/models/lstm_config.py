"""The settings and the shape of DeepSpeech-2's encoder, with the widths of every layer."""

from dataclasses import asdict, dataclass, replace

from lottery_train.errors import ConfigError
from lottery_train.models.backbone import (
    MAX_WIDTH,
    ModelSettings,
    require_dropout,
    require_integers,
    require_layers,
    require_positive,
    scaled_width,
)
from runtime.foreign import short


@dataclass(frozen=True, kw_only=True)
class LstmEncoderSettings(ModelSettings):
    """A DeepSpeech-2 encoder, all LSTM layers alike.

    Args:
        cnn_channels: channels of the two convolutions.
        cnn_bins: mel bins that the kernel of each convolution spans, odd.
        cnn_frames: frames that the kernel of each spans, odd and at least 3; those of the first are 10 ms, of the
            second 20 ms.
        lstm_layers: LSTM layers.
        lstm_width: units of an LSTM, in each direction.
        is_bidirectional: whether a second LSTM reads every utterance backwards; such a model cannot stream.
        dropout: probability, one draw a channel and utterance.
    """

    cnn_channels: tuple[int, int] = (16, 16)
    cnn_bins: tuple[int, int] = (21, 11)
    cnn_frames: tuple[int, int] = (5, 5)
    lstm_layers: int = 3
    lstm_width: int = 240
    is_bidirectional: bool = False
    dropout: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        self.require("cnn_channels", min(self.cnn_channels) >= 1, "two integers of at least 1")
        self.require("cnn_bins", all(size >= 1 and size % 2 for size in self.cnn_bins), "two positive odd numbers")
        is_reach = all(size >= 3 and size % 2 for size in self.cnn_frames)
        self.require("cnn_frames", is_reach, "two odd numbers of at least 3")
        for name in ("lstm_layers", "lstm_width"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        self.require("dropout", 0 <= self.dropout < 1, "at least 0 and less than 1")

    def lstm_fields(self):
        """Return the fields of the `LstmEncoderConfig` that these settings ask for."""
        names = ("cnn_channels", "cnn_bins", "cnn_frames", "dropout")
        layers = _alike(self.lstm_layers, self.lstm_width, is_bidirectional=self.is_bidirectional)
        return {"layers": layers, "cnn_norm": self.cnn_channels[1]} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class LstmWidths:
    """Widths of one LSTM layer.

    Args:
        ahead: units that read forwards, at least 1.
        back: units that read backwards; 0: one direction.
        norm: number that the norm behind the layer divides by: `ahead + back` before any shrinking.
    """

    ahead: int
    back: int
    norm: int


@dataclass(frozen=True, kw_only=True)
class LstmEncoderConfig:
    """The shape of a DeepSpeech-2 encoder.

    Args:
        num_mels: feature bins a frame.
        cnn_channels, cnn_bins, cnn_frames: of the two convolutions, see `LstmEncoderSettings`.
        cnn_norm: channels that the norm behind the second convolution counts: those before any shrinking.
        layers: widths of each LSTM layer, input first.
        dropout: probability, one draw a channel and utterance.
    Raises:
        ConfigError: a value is out of range.
    """

    num_mels: int = 80
    cnn_channels: tuple[int, int]
    cnn_bins: tuple[int, int] = (21, 11)
    cnn_frames: tuple[int, int] = (5, 5)
    cnn_norm: int
    layers: tuple[LstmWidths, ...]
    dropout: float = 0.1

    def __post_init__(self):
        require_positive(self, "num_mels", "cnn_norm")
        require_dropout(self)
        for name in ("cnn_channels", "cnn_bins", "cnn_frames"):
            values = getattr(self, name)
            is_pair = isinstance(values, tuple) and [type(value) for value in values] == [int, int]
            if not is_pair or not 1 <= min(values) <= max(values) <= MAX_WIDTH:
                raise ConfigError(f"{name} is {short(values)}, expected two positive integers")
        kernels = (*self.cnn_bins, *self.cnn_frames)
        if not all(size % 2 for size in kernels) or min(self.cnn_frames) < 3 or self.cnn_channels[1] > self.cnn_norm:
            raise ConfigError(f"impossible convolutions: {self.cnn_channels} {self.cnn_bins} {self.cnn_frames}")
        require_layers(self.layers, name="layers", kind=LstmWidths)
        for number, widths in enumerate(self.layers):
            require_positive(widths, "ahead")
            require_positive(widths, "norm", high=2 * MAX_WIDTH)
            require_integers(widths, "back", low=0, high=MAX_WIDTH)
            if widths.ahead + widths.back > widths.norm:
                raise ConfigError(f"layers[{number}] holds impossible widths: {widths}")

    @property
    def num_bins(self):
        """Frequency bins behind each convolution: two numbers."""
        first = (self.num_mels + 1) // 2
        return first, (first + 1) // 2

    @property
    def has_future(self):
        """Whether a layer reads backwards."""
        return any(widths.back for widths in self.layers)

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self)

    @classmethod
    def fields_from_json(cls, value):
        """Return `to_json()` output, read from an untrusted file, with its lists as the fields want them."""
        layers = tuple(LstmWidths(**layer) for layer in value["layers"])
        pairs = {name: tuple(value[name]) for name in ("cnn_channels", "cnn_bins", "cnn_frames")}
        return {**value, **pairs, "layers": layers}

    @classmethod
    def from_json(cls, value):
        """Rebuild a config from `to_json()` output read from an untrusted file.

        Raises:
            ConfigError: unknown, missing or ill-typed fields.
        """
        try:
            return cls(**cls.fields_from_json(value))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a model config: {short(error)}") from error

    def scaled(self, factor):
        """Return the dense config of the same depth whose widths are `factor` of these: a control of another size."""
        first = self.layers[0]
        channels = tuple(scaled_width(width, factor) for width in (self.cnn_channels[0], self.cnn_norm))
        directions = 1 + bool(first.back)
        width = scaled_width(first.norm // directions, factor)
        layers = _alike(len(self.layers), width, is_bidirectional=directions == 2)
        return replace(self, cnn_channels=channels, cnn_norm=channels[1], layers=layers)


def _alike(num_layers, width, *, is_bidirectional):
    back = width if is_bidirectional else 0
    return (LstmWidths(ahead=width, back=back, norm=width + back),) * num_layers
