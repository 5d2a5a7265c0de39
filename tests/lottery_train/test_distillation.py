"""Distillation: the divergence against torch's and numpy's own, and that teachers change nothing but the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lottery_train.distillation import Distillation, divergences
from lottery_train.models import BACKBONES, load_backbone
from tests.lottery_train.test_objective import make_batch
from tests.lottery_train.tiny import TINY_MODELS, drawn_model


def models(backbone, *, seeds=(0, 1)):
    settings = load_backbone(backbone).Settings(**TINY_MODELS[backbone], dropout=0.1)
    return [drawn_model(settings.config(vocab_size=6), seed=seed, num_mels=80) for seed in seeds]


def objective_of(student, distillation):
    return student.objective(num_characters=4, character_weight=0.3, seed=0, distillation=distillation)


def test_divergences_are_those_of_torch_summed_over_frames_and_averaged_over_nodes():
    generator = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 5, 3, 7, generator=generator).log_softmax(-1) for _ in range(2))
    is_inside = torch.zeros(2, 5, 3, dtype=torch.bool)
    is_inside[0] = True
    is_inside[1, :2, :1] = True
    found = divergences(teacher, student, is_inside)
    first = F.kl_div(student[0], teacher[0], log_target=True, reduction="sum") / 3
    second = F.kl_div(student[1, :2, 0], teacher[1, :2, 0], log_target=True, reduction="sum")
    torch.testing.assert_close(found, torch.stack([first, second]))
    p, q = teacher[1, :2, 0].double().exp().numpy(), student[1, :2, 0].double().exp().numpy()
    assert float(found[1]) == pytest.approx(np.sum(p * np.log(p / q)), rel=1e-5)
    assert divergences(teacher, teacher, is_inside).abs().max() == 0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_share_of_the_divergence_is_as_asked(backbone):
    student, teacher = models(backbone)
    batch = make_batch()
    plain = objective_of(student, None)(batch)[0]
    distillation = Distillation(teacher, share=0.25)
    taught = objective_of(student, distillation)(batch)[0]
    logprobs, is_inside = student.symbol_logprobs(student.outputs(batch)[0], batch)
    aims, _ = teacher.symbol_logprobs(teacher.outputs(batch)[0], batch)
    torch.testing.assert_close(logprobs.exp().sum(-1), torch.ones(logprobs.shape[:-1]))
    rows = []
    for row, (num_frames, num_symbols) in enumerate(zip((16, 8), (3, 1), strict=True)):
        num_nodes = num_symbols + 1 if backbone == "rnnt" else 1
        assert is_inside[row].sum() == num_frames * num_nodes
        pair = (part[row, :num_frames, :num_nodes] for part in (logprobs, aims))
        rows.append(F.kl_div(*pair, log_target=True, reduction="sum") / num_nodes / num_symbols)
    torch.testing.assert_close(taught, 0.75 * plain + 0.25 * torch.stack(rows).mean())


def test_a_student_that_agrees_has_nothing_to_learn():
    student, teacher = models("conformer", seeds=(3, 3))
    distillation = Distillation(teacher, share=0.5)
    batch = make_batch()
    outputs, _ = student.outputs(batch)
    loss = distillation.loss(student, outputs, distillation.outputs(batch), batch)
    assert loss.detach().abs() < 1e-6
    assert torch.autograd.grad(loss, student.head.weight)[0].abs().max() < 1e-6


def test_the_teacher_is_no_part_of_what_is_trained_and_hears_no_dropout():
    student, teacher = models("conformer")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distillation = Distillation(teacher.train(), share=0.5)
    objective, plain = objective_of(student, distillation), objective_of(student, None)
    assert list(objective.state_dict()) == list(plain.state_dict())
    assert len(list(objective.parameters())) == len(list(plain.parameters()))
    objective.train()
    assert not teacher.training
    batch = make_batch()
    torch.testing.assert_close(distillation.outputs(batch), distillation.outputs(batch), rtol=0, atol=0)
    objective(batch)[0].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
