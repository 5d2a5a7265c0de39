"""Distillation: a sparse model also learns what the dense one says of every frame, not the transcript alone.

Shapes: B batch, T encoder frames, N nodes a frame (CTC: 1; transducer: U + 1 symbols said so far), V symbols.
"""

import torch


class Distillation:
    """A teacher, and how much it counts. No nn.Module: its weights are no part of the objective that holds it.

    Args:
        teacher: `lottery_train.models.backbone.Backbone` on the student's device; put into evaluation mode.
        share: of the divergence in the loss, 0 to 1.
    """

    def __init__(self, teacher, *, share):
        self.teacher = teacher.eval().requires_grad_(False)
        self.share = share

    def outputs(self, batch):
        """Return the teacher's outputs for a batch, as augmented for the student."""
        with torch.no_grad():
            return self.teacher.outputs(batch)[0]

    def loss(self, student, outputs, taught, batch):
        """Return the divergence of a student's outputs from the teacher's, float32 scalar."""
        with torch.no_grad():
            taught_BTNV, _ = self.teacher.symbol_logprobs(taught, batch)
        logprobs_BTNV, is_inside_BTN = student.symbol_logprobs(outputs, batch)
        divergence_B = divergences(taught_BTNV, logprobs_BTNV, is_inside_BTN)
        return (divergence_B / batch.targets.lengths.clamp_min(1)).mean()


def divergences(teacher_BTNV, student_BTNV, is_inside_BTN):
    """Return (B,): KL(teacher || student) in nats, summed over frames; a frame's is the mean over its nodes.

    CTC and transducer losses are nats of a whole utterance, divided by its symbols in the objective. The sum over
    frames, divided alike, is of the same unit, so that a share of it means the same for short and long utterances. A
    transducer's alignment passes a frame in one or a few of its nodes, not in all: hence their mean.

    Args:
        teacher_BTNV, student_BTNV: natural-log probabilities of the symbols.
        is_inside_BTN: bool, False beyond an utterance's frames and nodes.
    Source: Hinton, Vinyals, Dean 2015; Takashima, Li, Kawai 2018 (frame-wise, for CTC); Panchapagesan et al. 2021 (over
        the transducer's lattice).
    """
    each_BTN = (teacher_BTNV.exp() * (teacher_BTNV - student_BTNV)).sum(-1).masked_fill(~is_inside_BTN, 0.0)
    return (each_BTN.sum(-1) / is_inside_BTN.sum(-1).clamp_min(1)).sum(-1)
