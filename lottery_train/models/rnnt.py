"""RNN-Transducer: an encoder (Conformer or DeepSpeech-2's), a predictor of symbols, a joiner; no frame is independent.

Shapes: B batch, T encoder frames, U target symbols, D encoder width, J joiner width, V symbols.
Source: Graves 2012, "Sequence Transduction with Recurrent Neural Networks"; the RNN-T of Ding, Chen, Wang 2022.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from lottery_train.errors import ConfigError
from lottery_train.models.backbone import Backbone, is_within, require_dropout, require_positive, scaled_width
from lottery_train.models.config import ConformerEncoderConfig
from lottery_train.models.conformer_encoder import ConformerEncoder, ConformerEncoderSettings
from lottery_train.models.lstm_config import LstmEncoderConfig, LstmEncoderSettings
from lottery_train.models.lstm_encoder import LstmEncoder
from lottery_train.models.transducer_loss import transducer_losses
from lottery_train.models.transducer_parts import PREDICTORS, Joiner
from lottery_train.settings import choice
from runtime.foreign import short
from runtime.tokenizer import MAX_SYMBOLS

ENCODERS = {"conformer": (ConformerEncoderConfig, ConformerEncoder), "lstm": (LstmEncoderConfig, LstmEncoder)}
BLANK = 0
# Symbols that one frame of 40 ms may emit when decoding: a bound on a model that repeats itself.
MAX_SYMBOLS_PER_FRAME = 5


@dataclass(frozen=True, kw_only=True)
class RnntSettings(ConformerEncoderSettings, LstmEncoderSettings):
    """RNN-Transducer: a Conformer or LSTM encoder, a predictor of symbols, and a joiner.

    Args:
        encoder: which encoder; the other one's settings then decide nothing.
        predictor: what the predictor sees of the symbols so far.
        context: symbols that a stateless predictor sees.
        embedding_width: width of a symbol's embedding.
        predictor_width: width of the predictor's output.
        joiner_width: neurons between encoder, predictor and symbols.
    """

    backbone: str = "rnnt"
    encoder: str = choice("conformer", {"conformer": "streaming Conformer", "lstm": "convolutions and LSTMs"})
    predictor: str = choice("stateless", {"lstm": "all of them", "stateless": "the last ones"})
    context: int = 2
    embedding_width: int = 64
    predictor_width: int = 128
    joiner_width: int = 192

    def __post_init__(self):
        super().__post_init__()
        for name in ("context", "embedding_width", "predictor_width", "joiner_width"):
            self.require(name, getattr(self, name) >= 1, "at least 1")

    def config(self, *, vocab_size):
        """Return the RnntConfig."""
        fields = {"conformer": self.conformer_fields, "lstm": self.lstm_fields}[self.encoder]()
        names = ("predictor", "context", "embedding_width", "predictor_width", "joiner_width", "dropout")
        encoder = ENCODERS[self.encoder][0](**fields)
        return RnntConfig(vocab_size=vocab_size, encoder=encoder, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class RnntConfig:
    """The shape of a transducer.

    Args:
        vocab_size: symbols, the blank (index 0) among them.
        encoder: config of the encoder, one of `ENCODERS`.
        predictor: name of one of `PREDICTORS`.
        context, embedding_width, predictor_width, joiner_width: see `RnntSettings`.
        dropout: of the predictor; the encoder has its own.
    Raises:
        ConfigError: a value is out of range.
    """

    backbone = "rnnt"

    vocab_size: int
    encoder: Any
    predictor: str = "stateless"
    context: int = 2
    embedding_width: int = 64
    predictor_width: int = 128
    joiner_width: int = 192
    dropout: float = 0.1

    def __post_init__(self):
        require_positive(self, "context", "embedding_width", "predictor_width", "joiner_width")
        require_positive(self, "vocab_size", high=MAX_SYMBOLS)
        require_dropout(self)
        if not isinstance(self.predictor, str) or self.predictor not in PREDICTORS:
            raise ConfigError(f"predictor is {short(self.predictor)}, expected {' or '.join(PREDICTORS)}")

    @property
    def encoder_name(self):
        """Key of the encoder in `ENCODERS`."""
        return next(name for name, (kind, _) in ENCODERS.items() if type(self.encoder) is kind)

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self) | {"encoder": {"name": self.encoder_name, **self.encoder.to_json()}}

    @classmethod
    def from_json(cls, value):
        """Rebuild a config from `to_json()` output read from an untrusted file.

        Raises:
            ConfigError: unknown, missing or ill-typed fields.
        """
        try:
            encoder = dict(value["encoder"])
            kind, _ = ENCODERS[encoder.pop("name")]
            return cls(**{**value, "encoder": kind.from_json(encoder)})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a model config: {short(error)}") from error

    def scaled(self, factor):
        """Return the dense config of the same depth whose widths are `factor` of these: a control of another size."""
        names = ("embedding_width", "predictor_width", "joiner_width")
        widths = {name: scaled_width(getattr(self, name), factor) for name in names}
        return replace(self, encoder=self.encoder.scaled(factor), **widths)


class Transducer(Backbone):
    """The acoustic model of an `RnntConfig`."""

    Settings, Config = RnntSettings, RnntConfig
    token_prefixes = ("predictor.embedding.", "joiner.out.")
    encoder_prefix = "encoder."

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder_name][1](config.encoder)
        self.predictor = PREDICTORS[config.predictor](config)
        self.joiner = Joiner(self.encoder.width, config)

    @property
    def hidden_width(self):
        """Width of the encoder's layer half-way up."""
        return self.encoder.hidden_width

    def set_normalisation(self, *, mean, deviation):
        """Set the feature statistics: array (F,) of means and of standard deviations."""
        self.encoder.set_normalisation(mean=mean, deviation=deviation)

    def outputs(self, batch):
        """Return the pair of encoder frames (B, T, J) and lattice (B, T, U + 1, V), and the layer half-way up."""
        x_BTD, hidden_BTD = self.encoder.encode(
            batch.features_BTF, chunk=batch.chunk, lengths=batch.input_lengths, tap=self.encoder.middle
        )
        encoded_BTJ = self.joiner.encoder(x_BTD)
        predicted_BUJ = self.joiner.predictor(self.predictor(batch.targets.ids_BU))
        logits_BTUV = self.joiner(encoded_BTJ[:, :, None], predicted_BUJ[:, None])
        return (encoded_BTJ, logits_BTUV), hidden_BTD

    def losses(self, outputs, batch):
        """Return the transducer loss of each utterance."""
        targets = batch.targets
        return transducer_losses(
            outputs[1].float(),
            targets.ids_BU,
            input_lengths=batch.input_lengths,
            target_lengths=targets.lengths,
            blank=BLANK,
        )

    def symbol_logprobs(self, outputs, batch):
        """Return the log-probabilities of every node of the lattice, (B, T, U + 1, V), and which are an utterance's."""
        logits_BTUV = outputs[1].float()
        frames_BT = is_within(batch.input_lengths, logits_BTUV.shape[1])
        columns_BU = is_within(batch.targets.lengths + 1, logits_BTUV.shape[2])
        return torch.log_softmax(logits_BTUV, -1), frames_BT[..., None] & columns_BU[:, None]

    def decode(self, outputs, batch):
        """Return the best symbol of each node, frame by frame, the next frame after a blank."""
        encoded_BTJ = outputs[0].float()
        ids = [[] for _ in encoded_BTJ]
        predicted_BP, state = self.predictor.start(len(ids))
        for frame in range(encoded_BTJ.shape[1]):
            is_open_B = frame < batch.input_lengths
            for _ in range(MAX_SYMBOLS_PER_FRAME):
                scores_BV = self.joiner(encoded_BTJ[:, frame], self.joiner.predictor(predicted_BP))
                symbols_B = scores_BV.argmax(-1)
                is_open_B = is_open_B & (symbols_B != BLANK)
                if not is_open_B.any():
                    break
                for row in is_open_B.nonzero().flatten().tolist():
                    ids[row].append(int(symbols_B[row]))
                further_BP, further = self.predictor.advance(symbols_B, state)
                predicted_BP = torch.where(is_open_B[:, None], further_BP, predicted_BP)
                state = torch.where(is_open_B[:, None], further, state)
        return ids

    def unit_groups(self):
        """Return the removable structures of encoder, predictor and joiner, with every tensor entry they own."""
        sides = {"encoder": "joiner.encoder.weight", "predictor": "joiner.predictor.weight"}
        groups = []
        for name, consumer in sides.items():
            own = getattr(self, name).unit_groups(consumer=consumer)
            groups += [group.below(name, outside=(consumer,)) for group in own]
        return groups + [group.below("joiner") for group in self.joiner.unit_groups()]
