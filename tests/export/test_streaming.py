"""The step for inference engines against `Conformer`: same outputs, same states, at every geometry."""

import pytest
import torch

from export.container import Container
from export.streaming import StreamingStep
from lottery_train.models import BlockWidths
from tests.export.models import random_model, small_config

UNEVEN = [
    BlockWidths(ff1=24, heads=3, conv=20, ff2=0, conv_norm=128),
    BlockWidths(ff1=0, heads=0, conv=12, ff2=40, conv_norm=128),
    BlockWidths(ff1=16, heads=1, conv=0, ff2=8, conv_norm=128),
]
NOTHING = [BlockWidths(ff1=0, heads=0, conv=0, ff2=0, conv_norm=128)] * 2


@pytest.mark.parametrize(
    ("config", "chunk"),
    [
        pytest.param(small_config(), 8, id="even"),
        pytest.param(small_config().with_blocks(UNEVEN), 8, id="uneven"),
        pytest.param(small_config().with_blocks(NOTHING), 8, id="no modules"),
        pytest.param(small_config(), 1, id="chunk shorter than the convolution"),
        pytest.param(small_config(), 16, id="chunk as long as the left context"),
        pytest.param(small_config(left_context_frames=12), 24, id="chunk longer than the left context"),
        pytest.param(small_config(left_context_frames=20), 6, id="left context no multiple of the chunk"),
    ],
)
def test_ten_chunks_equal_the_whole_utterance(config, chunk):
    model = random_model(config)
    container = Container(config=config, chunk_frames=chunk)
    step = StreamingStep(model, container=container).eval()
    geometry = container.geometry
    num_chunks = 10
    features = (
        torch.randn(3, num_chunks * geometry.shift_frames + 3, 80, generator=torch.Generator().manual_seed(2)) * 3 - 8
    )
    states, caches = container.initial_states(3), model.initial_caches(3)
    outputs, num_past = [], torch.zeros(3, dtype=torch.int64)
    with torch.no_grad():
        whole = model(features, chunk=chunk)
        for start in range(0, num_chunks * geometry.shift_frames, geometry.shift_frames):
            window = features[:, start : start + geometry.window_frames]
            logprobs, *states = step(window, *states)
            outputs.append(logprobs)
            _, caches = model.step(window, chunk=chunk, caches=caches, num_past=num_past)
            num_past = num_past + chunk
    # folded constants and other matrix shapes: rounding of float32 on values up to 10
    assert (torch.cat(outputs, 1) - whole).abs().max() < 2e-5
    for found, expected in zip(states, container.pack(caches, num_past=num_past), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_streams_of_a_batch_may_be_of_different_age():
    """sherpa-onnx batches streams that began at different times: each has a mask of its own."""
    config = small_config().with_blocks(UNEVEN)
    model = random_model(config)
    container = Container(config=config, chunk_frames=8)
    step = StreamingStep(model, container=container).eval()
    geometry = container.geometry
    features = torch.randn(3 * geometry.shift_frames + 3, 80, generator=torch.Generator().manual_seed(4)) * 3 - 8
    windows = [features[None, n * geometry.shift_frames :][:, : geometry.window_frames] for n in range(3)]
    with torch.no_grad():
        first, *old = step(windows[0], *container.initial_states(1))
        alone, *_ = step(windows[1], *old)
        mixed = [
            torch.cat(pair, spec.shape.index(-1))
            for spec, pair in zip(container.states, zip(old, container.initial_states(1), strict=True), strict=True)
        ]
        together, *_ = step(torch.cat([windows[1], windows[0]]), *mixed)
    torch.testing.assert_close(together[0], alone[0], rtol=0, atol=2e-5)
    torch.testing.assert_close(together[1], first[0], rtol=0, atol=2e-5)
