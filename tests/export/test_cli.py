"""lottery-export on the command line: the table, and errors that name the file and the next step."""

import os
import shutil
import subprocess
import sys

import pytest

from export.cli import main
from export.verify import STAGES
from runtime.engine.library import is_available
from runtime.files import read_json, sha256_file, write_json
from runtime.manifest import Manifest
from runtime.signature import make_keys
from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """Return {granularity: ticket folder}."""
    run = tmp_path_factory.mktemp("run")
    config = small_config(num_blocks=1)
    model = random_model(config)
    write_ticket(run / "level_01", model, mask=unit_mask(model, drawn_units(model)), level=1)
    model = random_model(config)
    mask = unit_mask(model, drawn_units(model, density=1.0))
    mask["blocks.0.ff1.up.weight"] = model.blocks[0].ff1.up.weight.abs() > 0.1
    write_ticket(run / "level_02", model, mask=mask, level=2, granularity="weight")
    return {"unit": run / "level_01", "weight": run / "level_02"}


def fails(capsys, *arguments):
    """Run the command, which must fail; return (error line, hint line) of stderr."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert status == 2
    assert captured.out == ""
    assert "Traceback" not in captured.err
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert len(errors) == 1
    return errors[0], hints[0] if hints else ""


def test_structured_export(tickets, tmp_path, capsys):
    out = tmp_path / "bundle"
    key, public = make_keys(tmp_path / "me.key")
    options = ["--structured", "--chunk-ms", "160", "--name", "shrunk", "--sign", str(key)]
    assert main([str(tickets["unit"]), "--out", str(out), *options]) == 0
    assert Manifest.load(out, require_signature=public).name == "shrunk"
    captured = capsys.readouterr()
    manifest = Manifest.load(out)
    assert (manifest.name, manifest.chunk_frames) == ("shrunk", 4)
    told = manifest.provenance
    assert f"{told['num_weights']:,} weights" in captured.out
    assert f"{told['num_nonzeros']:,} non-zero" in captured.out
    for entry in (entry for role, entry in manifest.files.items() if role.startswith("model")):
        assert f"{entry.bytes:,}" in captured.out
    for stage in STAGES:
        assert (stage in captured.out) == (is_available() or "engine" not in stage)
    assert "note:" not in captured.out
    # progress is not a result
    assert "shrinking" in captured.err
    assert "shrinking" not in captured.out


@pytest.mark.skipif(not is_available(), reason="the ticket engine's library is not built here")
def test_target_and_bits_reach_the_ticket_file(tickets, tmp_path, capsys):
    found = {}
    for bits, target in (("8", "server"), ("4", "basic")):
        out = tmp_path / target
        assert main([str(tickets["weight"]), "--ticket-bits", bits, "--target", target, "--out", str(out)]) == 0
        manifest = Manifest.load(out)
        assert (manifest.engine["target"], manifest.provenance["ticket_bits"]) == (target, int(bits))
        found[target] = manifest.files["model_ticket"].bytes
    assert found["basic"] < found["server"]


def test_a_ticket_that_learnt_nothing_is_exported_with_a_warning(tickets, tmp_path, capsys):
    folder = tmp_path / "level_02"
    shutil.copytree(tickets["weight"], folder)
    record = read_json(folder / "ticket.json")
    record["metrics"]["dev"]["wer"] = 0.973
    write_json(folder / "ticket.json", record)
    assert main([str(folder), "--precision", "int8", "--out", str(tmp_path / "bundle")]) == 0
    note = "dev WER is 97.3%, above 90%: this model has learnt next to nothing"
    assert f"warning: {folder}: {note}" in capsys.readouterr().err
    assert note in " ".join((tmp_path / "bundle" / "README.md").read_text().split())


def test_structured_needs_units(tickets, tmp_path, capsys):
    error, hint = fails(capsys, tickets["weight"], "--structured", "--out", tmp_path / "bundle")
    assert "nothing to shrink" in error
    assert "without --structured" in hint
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_sign_is_told_before_the_work(tickets, tmp_path, capsys):
    error, hint = fails(capsys, tickets["unit"], "--sign", tmp_path / "no.key", "--out", tmp_path / "bundle")
    assert "no.key: cannot read the key" in error
    assert "keygen" in hint
    assert list(tmp_path.iterdir()) == []


def test_no_ticket(tmp_path, capsys):
    error, hint = fails(capsys, tmp_path / "nowhere", "--out", tmp_path / "bundle")
    assert str(tmp_path / "nowhere") in error
    assert "level" in hint


def test_a_damaged_ticket(tickets, tmp_path, capsys):
    damaged = tmp_path / "level_01"
    damaged.mkdir()
    for path in tickets["unit"].iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    error, _ = fails(capsys, damaged, "--out", tmp_path / "bundle")
    assert "weights.safetensors" in error
    assert not (tmp_path / "bundle").exists()


def test_a_directory_that_is_there(tickets, tmp_path, capsys):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    error, hint = fails(capsys, tickets["unit"], "--out", tmp_path / "bundle", "--overwrite")
    assert str(tmp_path / "bundle") in error
    assert "another --out" in hint
    assert (tmp_path / "bundle" / "notes.txt").read_text() == "mine"


def test_a_bundle_whose_replacement_was_killed_is_back_at_the_next_start(tickets, tmp_path, capsys):
    aside = write_tiny_bundle(tmp_path / "moved").rename(tmp_path / ".bundle.abcdefgh.partial.old")
    error, _ = fails(capsys, tickets["unit"], "--out", tmp_path / "bundle")
    assert "a bundle is there already" in error
    assert not aside.exists()
    assert Manifest.load(tmp_path / "bundle").name == "moved"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory(tickets, tmp_path, capsys):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    error, hint = fails(capsys, tickets["unit"], "--out", locked / "bundle")
    assert "cannot write" in error
    assert "permissions" in hint


def test_a_file_where_a_directory_is_needed(tickets, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    error, hint = fails(capsys, tickets["unit"], "--out", tmp_path / "file" / "bundle")
    assert "cannot write" in error
    assert hint


@pytest.mark.parametrize("chunk_ms", ["0", "-40", "100"])
def test_chunks_are_whole_frames(tickets, tmp_path, capsys, chunk_ms):
    error, _ = fails(capsys, tickets["unit"], "--out", tmp_path / "bundle", "--chunk-ms", chunk_ms)
    assert "multiple of 40" in error


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 300])
def test_names_are_printable(tickets, tmp_path, capsys, name):
    error, _ = fails(capsys, tickets["unit"], "--out", tmp_path / "bundle", "--name", name)
    assert "--name" in error


def test_a_mask_of_another_model(tickets, tmp_path, capsys):
    """Both files are whole and signed; they do not belong together."""
    model = random_model(small_config(num_blocks=2))
    ticket = write_ticket(tmp_path / "level_01", model, mask=unit_mask(model, drawn_units(model)))
    other = random_model(small_config(num_blocks=1, ff=64))
    unit_mask(other, drawn_units(other)).save(ticket.folder / "mask.safetensors")
    record = read_json(ticket.folder / "ticket.json")
    mask_path = ticket.folder / "mask.safetensors"
    record["files"]["mask.safetensors"] = {"sha256": sha256_file(mask_path), "bytes": mask_path.stat().st_size}
    write_json(ticket.folder / "ticket.json", record)
    error, hint = fails(capsys, ticket.folder, "--structured", "--out", tmp_path / "bundle")
    assert "mask.safetensors" in error
    assert hint
    assert not (tmp_path / "bundle").exists()


def test_a_missing_package_names_the_extra(tickets, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    error, hint = fails(capsys, tickets["unit"], "--out", tmp_path / "bundle")
    assert "torch_pruning" in error
    assert 'pip install "lottery-asr[export]"' in hint


def test_help_needs_no_torch():
    """The first thing a user types must not wait for, or fail on, the training stack."""
    code = "import sys; sys.modules['torch'] = None; from export.cli import main; main(['--help'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "lottery-export runs/an4/level_06 --structured" in result.stdout
