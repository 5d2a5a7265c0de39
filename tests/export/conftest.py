"""Two exports that most tests look at: an export takes seconds, so each is made once."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch

from export.bundle import Export, export_ticket
from export.cli import main
from export.container import Container
from export.shrink import removable_units, shrink
from lottery_train.models import Conformer
from lottery_train.ticket import Ticket
from tests.export.models import CHUNK_FRAMES, drawn_units, random_model, small_config, unit_mask, write_ticket


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small are slower on several threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A ticket, its bundle, and what the bundle was made from.

    Args:
        ticket: two blocks, pruned in units, unevenly; two modules are masked as a whole.
        folder: the bundle, named `small`.
        result: what export_ticket returned.
        progress: the lines it told.
        masked, model: the ticket's model, and the shrunk one.
        container: of the shrunk model.
        fp32, int8, ort: the model files.
    """

    ticket: Ticket
    folder: Path
    result: Export
    progress: list[str]
    masked: Conformer
    model: Conformer
    container: Container
    fp32: onnx.ModelProto
    int8: onnx.ModelProto
    ort: bytes


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return the Exported; this seed says many different symbols on the test signals."""
    root = tmp_path_factory.mktemp("exported")
    model = random_model(small_config(), seed=9, sharpness=4.0)
    mask = unit_mask(model, drawn_units(model, seed=4, dropped=("blocks.0.attention", "blocks.1.ff1")))
    ticket = write_ticket(root / "level_03", model, mask=mask)
    folder, progress = root / "small", []
    result = export_ticket(ticket, folder, is_structured=True, progress=progress.append)
    masked = ticket.build_model()
    shrunk = shrink(masked, removable_units(masked, mask=mask))
    return Exported(
        ticket=ticket,
        folder=folder,
        result=result,
        progress=progress,
        masked=masked,
        model=shrunk,
        container=Container(config=shrunk.config, chunk_frames=CHUNK_FRAMES),
        fp32=onnx.load(folder / "model.onnx"),
        int8=onnx.load(folder / "model.int8.onnx"),
        ort=(folder / "model.ort").read_bytes(),
    )


@pytest.fixture(scope="session")
def with_zeros(exported, tmp_path_factory):
    """Return (folder, stdout) of the same ticket on the command line, without --structured."""
    folder = tmp_path_factory.mktemp("zeros") / "zeros"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main([str(exported.ticket.folder), "--out", str(folder)]) == 0
    return folder, output.getvalue()
