"""The container: names, order, shapes and metadata that sherpa-onnx computes, and caches that survive packing."""

import pytest
import torch

from export.container import Container
from export.errors import ExportError
from lottery_train.models import BlockWidths
from tests.export.models import random_model, small_config


def uneven_config():
    return small_config().with_blocks(
        [
            BlockWidths(ff1=8, heads=3, conv=13, ff2=4, conv_norm=128),
            BlockWidths(ff1=4, heads=1, conv=20, ff2=8, conv_norm=128),
        ]
    )


def test_states_are_those_of_sherpa_onnx():
    """Shapes as csrc/online-zipformer2-ctc-model.cc allocates them from the metadata, one layer in one stack."""
    container = Container(config=uneven_config(), chunk_frames=8)
    told = container.metadata
    left, half, kernel = int(told["left_context_len"]), int(told["encoder_dims"]), int(told["cnn_module_kernels"])
    key_dim = int(told["query_head_dims"]) * int(told["num_heads"])
    value_dim = int(told["value_head_dims"]) * int(told["num_heads"])
    assert told["num_encoder_layers"] == "1"
    assert [(spec.name, spec.shape) for spec in container.states] == [
        ("cached_key_0", (left, -1, key_dim)),
        ("cached_nonlin_attn_0", (1, -1, left, 3 * half // 4)),
        ("cached_val1_0", (left, -1, value_dim)),
        ("cached_val2_0", (left, -1, value_dim)),
        ("cached_conv1_0", (-1, half, kernel // 2)),
        ("cached_conv2_0", (-1, half, kernel // 2)),
        ("embed_states", (-1, 128, 3, 19)),
        ("processed_lens", (-1,)),
    ]
    assert [spec.dtype for spec in container.states] == ["float32"] * 7 + ["int64"]
    assert {spec.initial for spec in container.states} == {0}


def test_sizes_hold_every_block():
    container = Container(config=uneven_config(), chunk_frames=8)
    assert container.metadata["query_head_dims"] == str(2 * (3 + 1) * 16)
    # 33 channels: 17 a half, 20 as a multiple of 4
    assert container.encoder_dims == 20
    assert (container.metadata["T"], container.metadata["decode_chunk_len"]) == (str(7 * 4 + 7), str(8 * 4))
    geometry = container.geometry
    assert (geometry.window_frames, geometry.shift_frames) == (35, 32)


def test_a_model_without_heads_or_channels_still_has_states():
    bare = BlockWidths(ff1=8, heads=0, conv=0, ff2=8, conv_norm=128)
    container = Container(config=small_config().with_blocks([bare, bare]), chunk_frames=8)
    assert all(0 not in spec.shape for spec in container.states)


def test_packing_is_reversible():
    container = Container(config=uneven_config(), chunk_frames=8)
    generator = torch.Generator().manual_seed(0)
    empty = random_model(uneven_config()).initial_caches(3)
    caches = [tuple(torch.randn(cache.shape, generator=generator) for cache in pair) for pair in empty]
    num_past = torch.tensor([0, 8, 80])
    states = container.pack(caches, num_past=num_past)
    assert [tuple(state.shape) for state in states] == [
        tuple(3 if size == -1 else size for size in spec.shape) for spec in container.states
    ]
    unpacked, unpacked_past = container.unpack(states)
    assert torch.equal(unpacked_past, num_past)
    for pair, unpacked_pair in zip(caches, unpacked, strict=True):
        assert all(torch.equal(*each) for each in zip(pair, unpacked_pair, strict=True))


def test_initial_states_are_packed_initial_caches():
    container = Container(config=uneven_config(), chunk_frames=8)
    model = random_model(uneven_config())
    packed = container.pack(model.initial_caches(2), num_past=torch.zeros(2, dtype=torch.int64))
    assert all(torch.equal(*each) for each in zip(packed, container.initial_states(2), strict=True))


@pytest.mark.parametrize(
    ("fields", "chunk"), [({"conv_kernel": 1}, 8), ({}, 0), ({}, 1025)], ids=["no cache", "no chunk", "too long"]
)
def test_what_the_container_cannot_hold_is_refused(fields, chunk):
    with pytest.raises(ExportError):
        Container(config=small_config(**fields), chunk_frames=chunk)
