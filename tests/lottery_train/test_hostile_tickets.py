"""Tickets and checkpoints that others wrote: a TicketError that names the file, never a traceback."""

import hashlib
import json
import math
import shutil
import struct

import pytest
import torch
from safetensors.torch import save

from lottery_train.checkpoint import load_checkpoint, save_checkpoint
from lottery_train.errors import TicketError
from lottery_train.metrics import read_metrics
from lottery_train.position import Position, read_position
from lottery_train.pruning import Mask
from lottery_train.report import curve_points, read_records
from lottery_train.ticket import load_ticket
from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a small ticket."""
    folder = tmp_path_factory.mktemp("run") / "level_01"
    config = small_config(num_blocks=1, ff=8, heads=1, conv=8, model_width=8, stem_width=4, head_width=4)
    model = random_model(config)
    write_ticket(folder, model, mask=unit_mask(model, drawn_units(model)))
    return folder


@pytest.fixture
def ticket(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "level_01")


def edit(ticket, change, *, text=None):
    """Apply `change` to the record, or put `text` in the place of the first 987654321 in it."""
    path = ticket / "ticket.json"
    record = json.loads(path.read_text())
    change(record)
    content = json.dumps(record)
    path.write_text(content if text is None else content.replace("987654321", text, 1))


def refusal(ticket):
    with pytest.raises(TicketError) as caught:
        load_ticket(ticket)
    message = str(caught.value)
    assert str(ticket) in message
    assert message.isprintable()
    assert len(message) < 600
    assert caught.value.hint
    return message


def _set(*keys, value):
    def change(record):
        target = record
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return change


BLOCK = ("model", "blocks", 0)
WRONG = {
    "width 3.5": _set(*BLOCK, "ff1", value=3.5),
    "width text": _set(*BLOCK, "heads", value="4"),
    "width huge": _set(*BLOCK, "ff1", value=10**12),
    "width true": _set(*BLOCK, "conv", value=True),
    "kernel 3.5": _set("model", "conv_kernel", value=3.5),
    "kernel huge": _set("model", "conv_kernel", value=1_000_001),
    "kernel text": _set("model", "conv_kernel", value="7"),
    "left context text": _set("model", "left_context_frames", value="16"),
    "left context huge": _set("model", "left_context_frames", value=10**9),
    "blocks million": lambda record: record["model"].update(blocks=record["model"]["blocks"] * 1000),
    "blocks none": _set("model", "blocks", value=[]),
    "blocks text": _set("model", "blocks", value="abc"),
    "dropout text": _set("model", "dropout", value="0.1"),
    "vocabulary huge": _set("model", "vocab_size", value=10**9),
    "model list": _set("model", value=[]),
    "level text": _set("level", value="3"),
    "level true": _set("level", value=True),
    "chunk huge": _set("chunk_frames", value=10**9),
    "tokens numbers": _set("tokens", value=[1, 2]),
    "tokens object": _set("tokens", value={"a": 1}),
    "files missing": lambda record: record.pop("files"),
    "files list": _set("files", value=[]),
    "hash number": _set("files", "mask.safetensors", "sha256", value=1),
    "metrics list": _set("metrics", value=[]),
    "score text": _set("metrics", "test", value="12 %"),
    "wer text": _set("metrics", "test", "wer", value="12 %"),
    "interval one": _set("metrics", "test", "wer_interval", value=[0.1]),
    "search list": _set("search", value=[1]),
    "criterion object": _set("search", "criterion", value={"a": 1}),
    "name escape": _set("name", value="\x1b[2J"),
    "corpus escape": _set("corpus", value="an4\x1b]0;x\x07"),
    "sizes missing": lambda record: record.pop("sizes"),
    "nested": _set("search", "extra", value=json.loads("[" * 100 + "]" * 100)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_field_is_an_error(ticket, kind):
    edit(ticket, WRONG[kind])
    refusal(ticket)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "1e3"])
@pytest.mark.parametrize("place", [(*BLOCK, "ff1"), ("model", "conv_kernel"), ("level",), ("metrics", "test", "wer")])
def test_numbers_that_are_none_are_an_error(ticket, place, text):
    edit(ticket, _set(*place, value=987654321), text=text)
    if place[0] == "metrics" and text == "1e3":
        assert load_ticket(ticket).record["metrics"]["test"]["wer"] == 1000
    else:
        refusal(ticket)


def replace_file(ticket, name, content):
    """Replace a file of a ticket and make the record agree."""
    (ticket / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit(ticket, lambda record: record["files"].update({name: entry}))


def retyped(content, *, dtype, name=None):
    """Return a safetensors file in whose header a tensor has another type."""
    size = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + size])
    name = name or next(key for key in header if key != "__metadata__")
    header[name]["dtype"] = dtype
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


@pytest.mark.parametrize("dtype", ["F8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "BOOL", "I8", "\x1b[2J", ""])
def test_a_mask_of_another_type_is_refused(ticket, dtype):
    replace_file(ticket, "mask.safetensors", retyped((ticket / "mask.safetensors").read_bytes(), dtype=dtype))
    assert "mask.safetensors" in refusal(ticket)


def test_a_mask_without_its_header_is_refused(ticket):
    replace_file(ticket, "mask.safetensors", save({"a": torch.zeros(3, dtype=torch.uint8)}))
    refusal(ticket)
    (ticket / "other").write_bytes(
        save({"a": torch.zeros(1, dtype=torch.uint8)}, metadata={"lottery_mask": "[" * 9999})
    )
    with pytest.raises(TicketError, match="not a mask"):
        Mask.load(ticket / "other")


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.float8_e4m3fn, torch.bool])
def test_weights_of_another_type_are_refused(ticket, dtype):
    weights = {name: value.to(dtype) for name, value in load_ticket(ticket).weights.items()}
    replace_file(ticket, "weights.safetensors", save(weights))
    assert "weights.safetensors" in refusal(ticket)


def test_the_report_reads_checked_records(ticket):
    assert [record["level"] for record in read_records(ticket.parent)[0]] == [3]
    edit(ticket, WRONG["wer text"])
    with pytest.raises(TicketError, match=r"metrics\['test'\]\.wer is text"):
        read_records(ticket.parent)


@pytest.fixture
def training():
    """Return (model, optimizer) after a step."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def position():
    return Position(
        best=[[0.5, 1.0, "epoch_0001.safetensors"]], mask_distances=[[1, None], [2, 0.5]], best_loss=math.inf
    )


def test_a_checkpoint_gives_its_position_back(training, tmp_path):
    model, optimizer = training
    save_checkpoint(tmp_path / "c", model=model, optimizer=optimizer, state=vars(position()))
    state = load_checkpoint(tmp_path / "c", model=model, optimizer=optimizer)
    assert read_position(tmp_path / "c", state=state) == position()


@pytest.mark.parametrize("metadata", [None, {}, {"state": ""}, {"state": "[" * 99999}, {"other": "{}"}])
def test_a_checkpoint_that_says_not_where_it_stands_is_refused(training, tmp_path, metadata):
    model, _ = training
    tensors = {f"weights.{name}": value for name, value in model.state_dict().items()}
    (tmp_path / "c").write_bytes(save(tensors, metadata=metadata))
    with pytest.raises(TicketError, match="does not say where it stands"):
        load_checkpoint(tmp_path / "c", model=model)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 1.5}, {"epoch": -1}, {"epoch": "1"}, {"step": 10**30},
        {"best": [[0.5, 1.0, "../../secret.safetensors"]]},
        {"best": [[0.5, "epoch_0001.safetensors"]]}, {"best": "x"}, {"round_epochs": ["1"]}, {"is_settled": 1},
        {"mask_distances": [[None, 1]]}, {"extra": 1}, {"loss_sum": math.nan},
    ],
)  # fmt: skip
def test_a_position_that_is_none_is_refused(tmp_path, changes):
    with pytest.raises(TicketError, match=r"c: not a checkpoint") as caught:
        read_position(tmp_path / "c", state=vars(position()) | changes)
    assert caught.value.hint


@pytest.mark.parametrize("state", [None, [], "x", {}])
def test_a_state_that_is_no_object_is_refused(tmp_path, state):
    with pytest.raises(TicketError, match="not a checkpoint"):
        read_position(tmp_path / "c", state=state)


@pytest.mark.parametrize("kind", ["missing", "shape", "type"])
def test_moments_that_do_not_fit_are_refused(training, tmp_path, kind):
    model, optimizer = training
    tensors = {f"weights.{name}": value for name, value in model.state_dict().items()}
    tensors["optimizer.step.weight"] = torch.tensor(1.0)
    moment = {"shape": torch.zeros(9), "type": torch.zeros(2, 3, dtype=torch.int32)}.get(kind)
    if moment is not None:
        tensors |= {f"optimizer.{key}.weight": moment.clone() for key in ("exp_avg", "exp_avg_sq")}
    (tmp_path / "c").write_bytes(save(tensors, metadata={"state": json.dumps(vars(position()))}))
    with pytest.raises(TicketError, match="belongs to another model"):
        load_checkpoint(tmp_path / "c", model=model, optimizer=optimizer)


def test_metrics_end_at_the_first_line_that_is_none(tmp_path):
    good = {"level": "level_00", "step": 1, "epoch": 1, "dev_wer": 0.5}
    for bad in (b"{", b"[]", b"\xff\xfe", b'{"level": 1, "step": 2}', b"[" * 99999, b'{"level": "a", "step": 1e999}'):
        (tmp_path / "m").write_bytes(json.dumps(good).encode() + b"\n" + bad + b"\n" + json.dumps(good).encode())
        assert read_metrics(tmp_path / "m") == [good]
    assert curve_points([good, good | {"epoch": "2"}, good | {"dev_wer": math.inf}]) == {"level_00": [(1, 0.5)]}
