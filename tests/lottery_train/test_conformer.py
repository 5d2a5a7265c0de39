"""The streaming Conformer: chunked == full, widths, units, and each layer against torch's own operators."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lottery_train.errors import ConfigError
from lottery_train.models import BlockWidths, ConformerConfig, build_model, count_weights, dense_small_config
from lottery_train.models.layers import ChannelRMSNorm, DepthwiseConv, StridedConv, chunk_windows, window_mask
from runtime.features import padded_frames
from tests.lottery_train.tiny import random_model, tiny_config

UNEVEN = (
    BlockWidths(ff1=8, heads=1, conv=12, ff2=24, conv_norm=16),
    BlockWidths(ff1=0, heads=2, conv=0, ff2=16, conv_norm=16),
    BlockWidths(ff1=24, heads=0, conv=4, ff2=0, conv_norm=16),
)


def features(config, *, num_chunks, chunk, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, padded_frames(num_chunks, chunk_frames=chunk), config.num_mels)
    return torch.randn(shape, generator=generator) * 3 - 8


def stream(model, x_BTF, *, chunk):
    caches, outputs = model.initial_caches(len(x_BTF)), []
    for number in range((x_BTF.shape[1] - 3) // (4 * chunk)):
        part = x_BTF[:, 4 * chunk * number : 4 * chunk * (number + 1) + 3]
        logprobs, caches = model.step(
            part, chunk=chunk, caches=caches, num_past=torch.full((len(x_BTF),), number * chunk)
        )
        outputs.append(logprobs)
    return torch.cat(outputs, 1)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 3, 8, 16])
@pytest.mark.parametrize("blocks", [None, UNEVEN])
def test_chunked_equals_full(chunk, blocks):
    config = tiny_config() if blocks is None else tiny_config().with_blocks(blocks)
    model = random_model(config)
    x = features(config, num_chunks=max(3, 48 // chunk), chunk=chunk)
    full, chunked = model(x, chunk=chunk), stream(model, x, chunk=chunk)
    # The same products on the same windows; a softmax over a shorter window may round its sum otherwise.
    assert torch.allclose(full, chunked, atol=2e-6, rtol=0), (full - chunked).abs().max()


@torch.no_grad()
def test_the_future_and_the_far_past_do_not_matter():
    model = random_model(tiny_config())
    chunk, reach = 4, 16
    x = features(model.config, num_chunks=16, chunk=chunk)
    changed = x.clone()
    changed[:, 4 * chunk * 8 + 3 :] += 1.0
    assert torch.equal(model(x, chunk=chunk)[:, : 8 * chunk], model(changed, chunk=chunk)[:, : 8 * chunk])
    # Two blocks of attention see 2 * left frames back, the convolution's reach included.
    changed = x.clone()
    changed[:, : 4 * 4] += 1.0
    after = 4 + 2 * reach + 2 * chunk
    assert torch.equal(model(x, chunk=chunk)[:, after:], model(changed, chunk=chunk)[:, after:])
    assert not torch.equal(model(x, chunk=chunk)[:, :after], model(changed, chunk=chunk)[:, :after])


@torch.no_grad()
def test_full_context_is_one_chunk_and_a_batch_row_stands_alone():
    model = random_model(tiny_config())
    x = features(model.config, num_chunks=1, chunk=40, batch=3)
    together = model(x, chunk=40)
    assert together.shape == (3, 40, 6)
    assert torch.allclose(together[1:2], model(x[1:2], chunk=40), atol=2e-6)
    assert torch.allclose(together.exp().sum(-1), torch.ones(3, 40), atol=1e-5)


def test_frames_that_fit_no_chunk_are_refused():
    model = random_model(tiny_config())
    with pytest.raises(ValueError, match="feature frames"):
        model(torch.zeros(1, 50, 80), chunk=8)


def test_strided_conv_equals_conv1d():
    torch.manual_seed(0)
    layer, x = StridedConv(5, 7), torch.randn(2, 23, 5)
    weight = layer.weight.view(7, 3, 5).transpose(1, 2)
    expected = F.conv1d(x.transpose(1, 2), weight, layer.bias, stride=2).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("kernel", "chunk"), [(7, 8), (7, 2), (1, 4), (15, 5)])
def test_depthwise_conv_equals_conv1d_inside_the_chunk(kernel, chunk):
    torch.manual_seed(0)
    layer = DepthwiseConv(6, kernel)
    torch.nn.init.normal_(layer.bias)
    windows_MCW = torch.randn(9, 6, kernel // 2 + chunk)
    expected = layer.step(windows_MCW, chunk=chunk)
    found_CMS = layer(windows_MCW.transpose(0, 1), chunk=chunk)
    torch.testing.assert_close(found_CMS.permute(1, 2, 0), expected)


@pytest.mark.parametrize(("chunk", "left"), [(4, 8), (4, 6), (3, 7), (5, 0)])
def test_chunk_windows_equal_unfold_and_so_do_their_gradients(chunk, left):
    torch.manual_seed(0)
    x = torch.randn(2, 4 * chunk, 3, dtype=torch.float64, requires_grad=True)
    expected = F.pad(x, (0, 0, left, 0)).unfold(1, left + chunk, chunk).transpose(2, 3)
    found = chunk_windows(x, chunk=chunk, left=left)
    assert torch.equal(found, expected)
    weight = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), x), torch.autograd.grad((expected * weight).sum(), x)
    )


@pytest.mark.parametrize(("num_frames", "chunk", "left"), [(48, 3, 7), (48, 4, 16), (20, 4, 16), (64, 8, 4), (9, 9, 4)])
def test_each_query_sees_its_chunk_and_the_left_context_once(num_frames, chunk, left):
    mask_NSW = window_mask(num_frames, chunk=chunk, left=left)[0, :, 0]
    rows, window = mask_NSW.shape[1:]
    found = torch.zeros(num_frames, num_frames, dtype=torch.int64)
    for number, row, column in (mask_NSW == 0).nonzero().tolist():
        query, key = number * rows + row, (number + 1) * rows - window + column
        if query < num_frames:
            found[query, key] += 1
    start = torch.arange(num_frames)[:, None] // chunk * chunk
    key = torch.arange(num_frames)
    assert torch.equal(found, ((key >= start - left) & (key < start + chunk)).long())


@pytest.mark.parametrize("axis", [0, -1])
def test_channel_norm_equals_torch_rms_norm(axis):
    torch.manual_seed(0)
    x, norm = torch.randn(2, 5, 12), ChannelRMSNorm(12, divisor=12)
    torch.nn.init.normal_(norm.gain)
    found = norm(x.movedim(-1, axis), axis=axis).movedim(axis, -1)
    torch.testing.assert_close(found, F.rms_norm(x, (12,), norm.gain, eps=1e-5))


@torch.no_grad()
def test_every_unit_owned_entry_at_zero_silences_the_unit():
    """What a masked unit computes must not depend on anything: the rest of the model is the same for any input to
    it."""
    model = random_model(tiny_config())
    x = features(model.config, num_chunks=3, chunk=8)
    parameters = dict(model.named_parameters())
    owned = [name for group in model.unit_groups() for name in group.tensors]
    assert len(owned) == len(set(owned))
    for group in model.unit_groups():
        keep = torch.ones(group.size, dtype=torch.bool)
        keep[0] = False
        saved = {name: parameters[name].clone() for name in group.tensors}
        masks = group.expand(keep, shapes={name: value.shape for name, value in parameters.items()})
        for name in group.tensors:
            parameters[name].mul_(masks[name])
        silent = model(x, chunk=8)
        assert torch.isfinite(silent).all()
        for name in group.tensors:
            parameters[name].copy_(saved[name])
        assert not torch.equal(silent, model(x, chunk=8)), group.name


def test_config_round_trip_and_impossible_values():
    config = tiny_config().with_blocks(UNEVEN)
    assert ConformerConfig.from_json(config.to_json()) == config
    for changes in ({"conv_kernel": 4}, {"vocab_size": 0}, {"dropout": 1.5}, {"left_context_frames": 2}):
        with pytest.raises(ConfigError):
            tiny_config(**changes)
    for value in ({}, {"blocks": 3}, {"blocks": [{"ff1": 1}]}, {**config.to_json(), "unknown": 1}, []):
        with pytest.raises(ConfigError):
            ConformerConfig.from_json(value)


def test_weights_are_drawn_from_the_seed_alone():
    torch.manual_seed(5)
    first = build_model(tiny_config(), seed=3).state_dict()
    state = torch.get_rng_state()
    second = build_model(tiny_config(), seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first["head.weight"], build_model(tiny_config(), seed=4).state_dict()["head.weight"])


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.1])
def test_dense_small_has_at_most_the_asked_weights_and_nearly_as_many(share):
    config = ConformerConfig.uniform(num_blocks=4, ff=448, heads=4, conv=128, vocab_size=28)
    budget = int(count_weights(config) * share)
    small = dense_small_config(config, num_weights=budget)
    assert 0.92 * budget <= count_weights(small) <= budget
    assert len(small.blocks) == len(config.blocks)
    assert count_weights(small) == sum(p.numel() for p in build_model(small, seed=0).parameters())


def test_normalisation_is_inside_the_model():
    model, x = random_model(tiny_config()), np.random.default_rng(0).normal(-8, 3, (1, 35, 80)).astype(np.float32)
    mean, deviation = np.full(80, -5.0), np.full(80, 2.0)
    plain = random_model(tiny_config())
    plain.set_normalisation(mean=np.zeros(80), deviation=np.ones(80))
    model.set_normalisation(mean=mean, deviation=deviation)
    expected = plain(torch.from_numpy((x - mean.astype(np.float32)) / 2), chunk=8)
    torch.testing.assert_close(model(torch.from_numpy(x), chunk=8), expected, atol=1e-4, rtol=0)
