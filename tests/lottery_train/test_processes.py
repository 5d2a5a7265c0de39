"""A run that is continued with another number of processes is told apart before a corpus is read."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from lottery_train.cli import main
from lottery_train.errors import ConfigError
from lottery_train.processes import check_processes


def write_checkpoint(path, *, world_size):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"x": np.zeros(1)}, path, metadata={"state": json.dumps({"world_size": world_size})})


def write_ticket(folder, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ticket.json").write_text(json.dumps(fields))


PLACES = ("level_00", "level_01", "controls/random-ticket_01")


@pytest.mark.parametrize(
    "place", ["level_01.work/checkpoint.safetensors", "controls/x_01.work/checkpoint.safetensors", "rewind.safetensors"]
)
def test_a_training_in_progress_is_refused(tmp_path, place):
    write_checkpoint(tmp_path / place, world_size=2)
    assert check_processes(tmp_path, places=PLACES, num_processes=2) == []
    with pytest.raises(ConfigError, match=rf"{place}: begun with 2 processes, now there is 1") as caught:
        check_processes(tmp_path, places=PLACES, num_processes=1)
    assert "as many processes" in caught.value.hint
    with pytest.raises(ConfigError, match="now there are 3"):
        check_processes(tmp_path, places=PLACES, num_processes=3)


def test_a_rewind_point_of_another_run_counts_where_it_is_taken(tmp_path):
    write_checkpoint(tmp_path / "dense" / "rewind.safetensors", world_size=4)
    assert check_processes(tmp_path / "run", places=PLACES, num_processes=1) == []
    with pytest.raises(ConfigError, match=r"dense/rewind\.safetensors: begun with 4 processes"):
        check_processes(tmp_path / "run", places=PLACES, num_processes=1, dense_from=tmp_path / "dense")


def test_levels_that_need_no_rewind_point_go_on_with_a_note(tmp_path):
    write_ticket(tmp_path / "level_00", num_processes=1)
    assert check_processes(tmp_path, places=PLACES, num_processes=1) == []
    [note] = check_processes(tmp_path, places=PLACES, num_processes=2)
    assert note.startswith(f"{tmp_path / 'level_00'}: begun with 1 process, now there are 2")


def test_a_finished_run_asks_nothing(tmp_path):
    write_checkpoint(tmp_path / "rewind.safetensors", world_size=2)
    for place in PLACES:
        write_ticket(tmp_path / place, num_processes=2)
    assert check_processes(tmp_path, places=PLACES, num_processes=1) == []
    (tmp_path / PLACES[2] / "ticket.json").unlink()
    with pytest.raises(ConfigError, match="begun with 2"):
        check_processes(tmp_path, places=PLACES, num_processes=1)


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_what_cannot_be_read_is_left_to_whoever_needs_it(tmp_path, content):
    (tmp_path / "level_01.work").mkdir()
    path = tmp_path / "level_01.work" / "checkpoint.safetensors"
    if content is None:
        save_file({"x": np.zeros(1)}, path)
    else:
        path.write_bytes(content)
    write_ticket(tmp_path / "level_00")
    (tmp_path / "controls" / "random-ticket_01").mkdir(parents=True)
    (tmp_path / "controls" / "random-ticket_01" / "ticket.json").write_text("[]")
    assert check_processes(tmp_path, places=PLACES, num_processes=3) == []


@pytest.mark.parametrize("flags", [[], ["--no-resume"]])
def test_the_command_says_so_before_it_looks_for_a_corpus(tmp_path, capsys, monkeypatch, flags):
    out = tmp_path / "run"
    write_checkpoint(out / "level_00.work" / "checkpoint.safetensors", world_size=2)
    command = ["--corpus", "tones", "--data-dir", str(tmp_path / "nowhere"), "--out", str(out), *flags]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert ("begun with 2 processes, now there is 1" in said) == (not flags)
    assert ("no corpus here" in said) == bool(flags)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(command) == 2
    assert "no corpus here" in capsys.readouterr().err
