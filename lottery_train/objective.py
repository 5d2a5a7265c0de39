"""What a training minimises: CTC on the tokens, and CTC on the characters half-way up the model.

The character head exists in training alone. It gets CTC off its blank plateau when tokens are words or pieces, and it
regularises. Source: Sanabria & Metze 2018 (hierarchical multitask CTC); Lee & Watanabe 2021 (intermediate CTC).
Shapes: B batch, T encoder frames, D model width, V tokens.
"""

import torch
import torch.nn.functional as F
from torch import nn


class CtcObjective(nn.Module):
    """The loss of a batch.

    Args:
        model: Conformer.
        num_characters: size of the character set, the blank (0) among them.
        character_weight: share of the character loss in the sum, 0 to 1.
        seed: of the character head's first weights.
    """

    def __init__(self, model, *, num_characters, character_weight, seed):
        super().__init__()
        self.model = model
        self.character_weight = character_weight
        self._tap = (len(model.blocks) + 1) // 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.character_head = nn.Linear(model.config.model_width, num_characters)

    def forward(self, batch, *, autocast_dtype=None):
        """Return the loss of a `Batch` and the character part of it, float32 scalars.

        Args:
            autocast_dtype: dtype of the matrix products, None for float32.
        """
        dtype = autocast_dtype or torch.bfloat16
        with torch.autocast(batch.features_BTF.device.type, dtype, enabled=autocast_dtype is not None):
            logprobs_BTV, hidden_BTD = self.model(batch.features_BTF, chunk=batch.chunk, tap=self._tap)
            characters_BTV = self.character_head(hidden_BTD)
        loss = _ctc(logprobs_BTV, batch.targets, batch.input_lengths)
        characters = _ctc(F.log_softmax(characters_BTV.float(), -1), batch.characters, batch.input_lengths)
        return (1 - self.character_weight) * loss + self.character_weight * characters, characters.detach()


def _ctc(logprobs_BTV, targets, input_lengths):
    """Return the mean CTC loss a symbol; targets too long for their input count as zero."""
    return F.ctc_loss(logprobs_BTV.transpose(0, 1), targets.ids_BU, input_lengths, targets.lengths, zero_infinity=True)
