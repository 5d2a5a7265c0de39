"""What a training minimises: the backbone's own loss on the tokens, and CTC on the characters half-way up the model.

The character head exists in training alone. It gets CTC off its blank plateau when tokens are words or pieces, it
teaches a transducer's encoder to align, and it regularises. Source: Sanabria & Metze 2018 (hierarchical multitask CTC);
Lee & Watanabe 2021 (intermediate CTC); Jeon & Kim 2021 (auxiliary losses for transducers).
Shapes: B batch, T encoder frames, D width of the layer half-way up, V symbols.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Objective(nn.Module):
    """The loss of a batch.

    Args:
        model: `lottery_train.models.backbone.Backbone`.
        num_characters: size of the character set, the blank (0) among them.
        character_weight: share of the character loss in the sum, 0 to 1.
        seed: of the character head's first weights.
        distillation: `lottery_train.distillation.Distillation`: its share of the loss is the divergence from a teacher,
            the rest is everything else; None for none.
    """

    def __init__(self, model, *, num_characters, character_weight, seed, distillation=None):
        super().__init__()
        self.model, self.distillation = model, distillation
        self.character_weight = character_weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.character_head = nn.Linear(model.hidden_width, num_characters)

    def forward(self, batch, *, autocast_dtype=None):
        """Return the loss of a `Batch` and the character part of it, float32 scalars.

        Args:
            autocast_dtype: dtype of the matrix products, None for float32.
        """
        dtype = autocast_dtype or torch.bfloat16
        with torch.autocast(batch.features_BTF.device.type, dtype, enabled=autocast_dtype is not None):
            outputs, hidden_BTD = self.model.outputs(batch)
            characters_BTV = self.character_head(hidden_BTD)
            taught = self.distillation and self.distillation.outputs(batch)
        losses_B = self.model.losses(outputs, batch)
        loss = _mean_per_symbol(losses_B, batch.targets, batch.input_lengths)
        characters_B = F.ctc_loss(
            F.log_softmax(characters_BTV.float(), -1).transpose(0, 1),
            batch.characters.ids_BU,
            batch.input_lengths,
            batch.characters.lengths,
            reduction="none",
            zero_infinity=True,
        )
        characters = _mean_per_symbol(characters_B, batch.characters, batch.input_lengths)
        loss = (1 - self.character_weight) * loss + self.character_weight * characters
        if self.distillation is not None:
            share = self.distillation.share
            loss = (1 - share) * loss + share * self.distillation.loss(self.model, outputs, taught, batch)
        return loss, characters.detach()


def _mean_per_symbol(losses_B, targets, input_lengths):
    """Return the mean over a batch of the loss per symbol; silence counts a symbol every 8 frames (320 ms).

    A loss of silence, not divided, would outweigh dozens of spoken examples.
    """
    symbols_B = torch.where(targets.lengths > 0, targets.lengths, input_lengths / 8)
    return (losses_B / symbols_B).mean()
