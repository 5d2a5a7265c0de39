"""Streaming Conformer-CTC: log-mel frames -> log-probabilities of symbols, 40 ms apart.

Shapes: B batch, T encoder frames, F mel bins, D model width, V symbols.
Source: Gulati et al. 2020 (Conformer); chunked attention as in Zhang et al. 2020 (U2).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from lottery_train.models.config import ConformerConfig
from lottery_train.models.conformer_encoder import ConformerEncoder, ConformerEncoderSettings
from lottery_train.models.ctc import CtcBackbone


@dataclass(frozen=True, kw_only=True)
class ConformerSettings(ConformerEncoderSettings):
    """A streaming Conformer-CTC, all blocks alike."""

    backbone: str = "conformer"

    def config(self, *, vocab_size):
        """Return the ConformerConfig."""
        return ConformerConfig(vocab_size=vocab_size, **self.conformer_fields())


class Conformer(CtcBackbone, ConformerEncoder):
    """The acoustic model of a `ConformerConfig`."""

    Settings, Config = ConformerSettings, ConformerConfig

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(config.model_width, config.vocab_size)

    def forward(self, x_BTF, *, chunk, lengths=None, tap=None):
        """Recognise whole utterances as a stream of chunks would.

        Args:
            x_BTF, chunk, lengths: as for `encode`.
            tap: None, or a number of blocks: their output is returned too (for losses half-way up).
        Returns:
            float32 (B, T, V) log-probabilities; with a tap, the pair of these and (B, T, D).
        Raises:
            ValueError: the number of frames does not fit the chunk.
        """
        x, tapped = self.encode(x_BTF, chunk=chunk, lengths=lengths, tap=tap)
        logprobs_BTV = F.log_softmax(self.head(x).float(), -1)
        return logprobs_BTV if tap is None else (logprobs_BTV, tapped)

    def step(self, x_BTF, *, chunk, caches, num_past):
        """Recognise one chunk, carrying state.

        Args:
            x_BTF: (B, 4*chunk+3, F) features; the next call starts 4*chunk frames later.
            caches: (attention, convolution) pair for each block, as `initial_caches` or the last call gave them.
            num_past: int64 (B,), encoder frames already seen.
        Returns:
            (B, chunk, V) log-probabilities, the next caches.
        """
        x, following = self.encode_step(x_BTF, chunk=chunk, caches=caches, num_past=num_past)
        return F.log_softmax(self.head(x), -1), following
