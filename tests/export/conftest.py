"""Exports that many tests look at: each takes seconds, so each is made once."""

from dataclasses import dataclass

import onnx
import pytest
import torch

from export.container import Container
from export.graph import export_onnx, quantize
from export.ort_format import to_ort_format
from export.shrink import shrink
from lottery_train.models import Conformer
from tests.export.models import CHUNK_FRAMES, drawn_units, random_model, small_config, unit_mask


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small are slower on several threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A masked model, the unevenly shrunk one, and its files."""

    masked: Conformer
    model: Conformer
    container: Container
    fp32: onnx.ModelProto
    int8: onnx.ModelProto
    ort: bytes


@pytest.fixture(scope="session")
def exported():
    """Return the export of a model whose blocks are pruned unevenly and which lacks a module or two."""
    masked = random_model(small_config(), sharpness=6.0)
    keep_units = drawn_units(masked, seed=3, dropped=("blocks.0.ff2", "blocks.1.attention"), density=0.7)
    unit_mask(masked, keep_units).apply_(masked)
    model = shrink(masked, keep_units)
    fp32 = export_onnx(model, chunk_frames=CHUNK_FRAMES)
    int8 = quantize(fp32)
    container = Container(config=model.config, chunk_frames=CHUNK_FRAMES)
    return Exported(masked=masked, model=model, container=container, fp32=fp32, int8=int8, ort=to_ort_format(int8))
