"""The training loss against torch's own CTC, written out example by example."""

import pytest
import torch
import torch.nn.functional as F

from lottery_train.batching import Batch, Targets
from tests.lottery_train.tiny import random_model, tiny_config


def make_batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(
        features_BTF=torch.randn(2, 67, 80, generator=generator) * 3 - 8,
        input_lengths=torch.tensor([16, 8]),
        targets=Targets.pad([[1, 2, 2], [5]]),
        characters=Targets.pad([[1, 1, 3], [2, 1]]),
        chunk=8,
        audio_s=1.0,
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_weighted_mean_a_symbol(weight):
    model, batch = random_model(tiny_config()), make_batch()
    objective = model.objective(num_characters=4, character_weight=weight, seed=0)
    loss, characters = objective(batch)
    logprobs, hidden = model(batch.features_BTF, chunk=8, tap=1)
    heads = (logprobs, F.log_softmax(objective.character_head(hidden), -1))
    expected = []
    for outputs, targets in zip(heads, (batch.targets, batch.characters), strict=True):
        rows = [
            F.ctc_loss(outputs[row, :length], targets.ids_BU[row, :size], (length,), (size,), reduction="sum") / size
            for row, (length, size) in enumerate(
                zip(batch.input_lengths.tolist(), targets.lengths.tolist(), strict=True)
            )
        ]
        expected.append(torch.stack(rows).mean())
    torch.testing.assert_close(characters, expected[1])
    torch.testing.assert_close(loss, (1 - weight) * expected[0] + weight * expected[1])


def test_the_character_loss_reaches_the_lower_blocks_only():
    model, batch = random_model(tiny_config()), make_batch()
    model.objective(num_characters=4, character_weight=1.0, seed=0)(batch)[0].backward()
    assert model.blocks[0].ff1.up.weight.grad.abs().sum() > 0
    assert model.blocks[1].ff1.up.weight.grad.abs().sum() == 0
    assert model.head.weight.grad.abs().sum() == 0


def test_bfloat16_is_near_float32():
    objective = random_model(tiny_config()).objective(num_characters=4, character_weight=0.3, seed=0)
    exact, rounded = objective(make_batch())[0], objective(make_batch(), autocast_dtype=torch.bfloat16)[0]
    # bfloat16 keeps 8 bits of mantissa; a few layers leave about a percent.
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)
    assert rounded.dtype == torch.float32
