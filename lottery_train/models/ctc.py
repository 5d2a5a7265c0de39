"""What backbones with a CTC output share: loss and greedy decoding.

Shapes: B batch, T encoder frames, D width of the layer half-way up, V symbols.
"""

import torch.nn.functional as F

from lottery_train.models.backbone import Backbone, is_within
from runtime.ctc import greedy_ctc

BLANK = 0


class CtcBackbone(Backbone):
    """A backbone over an encoder whose `forward(x_BTF, chunk=, lengths=, tap=)` gives log-probabilities."""

    def outputs(self, batch):
        """Return the log-probabilities, float32 (B, T, V), and the layer half-way up."""
        return self(batch.features_BTF, chunk=batch.chunk, lengths=batch.input_lengths, tap=self.middle)

    def losses(self, outputs, batch):
        """Return the CTC loss of each utterance; 0 where its targets are too long for its frames."""
        return ctc_losses(outputs, batch.targets, batch.input_lengths)

    def symbol_logprobs(self, outputs, batch):
        """Return the log-probabilities of every frame, (B, T, 1, V), and which frames are an utterance's."""
        return outputs[:, :, None], is_within(batch.input_lengths, outputs.shape[1])[..., None]

    def decode(self, outputs, batch):
        """Return the best path of each utterance, every frame of its whole chunks decoded, as the runtime does."""
        logprobs_BTV, lengths = outputs.cpu().numpy(), batch.input_lengths.tolist()
        return [greedy_ctc(row[:length], blank=BLANK).ids for row, length in zip(logprobs_BTV, lengths, strict=True)]


def ctc_losses(logprobs_BTV, targets, input_lengths):
    """Return float32 (B,) CTC losses; targets too long for their input count as zero."""
    return F.ctc_loss(
        logprobs_BTV.transpose(0, 1),
        targets.ids_BU,
        input_lengths,
        targets.lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
