"""CNN-LSTM-CTC in the manner of DeepSpeech 2: log-mel frames -> log-probabilities of symbols, 40 ms apart.

Shapes: B batch, T encoder frames, F mel bins, D encoder width, V symbols.
Source: Amodei et al. 2016, "Deep Speech 2"; the CNN-LSTM of Ding, Chen, Wang 2022.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from lottery_train.models.backbone import require_positive
from lottery_train.models.ctc import CtcBackbone
from lottery_train.models.lstm_config import LstmEncoderConfig, LstmEncoderSettings
from lottery_train.models.lstm_encoder import LstmEncoder
from runtime.tokenizer import MAX_SYMBOLS


@dataclass(frozen=True, kw_only=True)
class CnnLstmSettings(LstmEncoderSettings):
    """DeepSpeech 2: two convolutions over time and frequency, LSTMs, CTC."""

    backbone: str = "cnn-lstm"

    def config(self, *, vocab_size):
        """Return the CnnLstmConfig."""
        return CnnLstmConfig(vocab_size=vocab_size, **self.lstm_fields())


@dataclass(frozen=True, kw_only=True)
class CnnLstmConfig(LstmEncoderConfig):
    """A CNN-LSTM-CTC: the encoder's fields, and

    Args:
        vocab_size: symbols, the CTC blank (index 0) among them.
    """

    backbone = "cnn-lstm"

    vocab_size: int

    def __post_init__(self):
        super().__post_init__()
        require_positive(self, "vocab_size", high=MAX_SYMBOLS)


class CnnLstm(CtcBackbone, LstmEncoder):
    """The acoustic model of a `CnnLstmConfig`."""

    Settings, Config = CnnLstmSettings, CnnLstmConfig

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(self.width, config.vocab_size)

    def forward(self, x_BTF, *, chunk, lengths=None, tap=None):
        """Recognise whole utterances.

        Args:
            x_BTF, chunk, lengths: as for `encode`.
            tap: None, or a number of layers: their output is returned too (for losses half-way up).
        Returns:
            float32 (B, T, V) log-probabilities; with a tap, the pair of these and (B, T, D).
        """
        x, tapped = self.encode(x_BTF, chunk=chunk, lengths=lengths, tap=tap)
        logprobs_BTV = F.log_softmax(self.head(x).float(), -1)
        return logprobs_BTV if tap is None else (logprobs_BTV, tapped)

    def step(self, x_BTF, *, state):
        """Recognise one chunk, carrying state: arguments as for `encode_step`; (B, chunk, V) and the next state."""
        x, state = self.encode_step(x_BTF, state=state)
        return F.log_softmax(self.head(x), -1), state
