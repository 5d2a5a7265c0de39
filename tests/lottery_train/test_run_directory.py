"""Starting over removes what lottery-train wrote, and nothing else."""

import pytest

from lottery_train.errors import ConfigError
from lottery_train.run_directory import clear_run

OURS = (
    "config.json", "tokens.txt", "bpe.model", "skipped.txt", "metrics.jsonl", "rewind.safetensors", "report.html",
    "tensorboard/events", "level_00/ticket.json", "level_12.work/checkpoint.safetensors",
    "controls/random-ticket_03/ticket.json",
)  # fmt: skip
THEIRS = ("notes.txt", "level_00.txt", "my_level_00/x", "bundles/an4/model.onnx", "config.json.bak", "other.work/x")


def _fill(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_only_files_of_the_run_go(tmp_path):
    _fill(tmp_path, OURS + THEIRS)
    clear_run(tmp_path)
    assert _files(tmp_path) == sorted(THEIRS)
    assert not (tmp_path / "level_00").exists()


@pytest.mark.parametrize("names", [THEIRS, OURS[1:]])
def test_a_directory_without_settings_is_no_run(tmp_path, names):
    _fill(tmp_path, names)
    with pytest.raises(ConfigError, match=r"holds files but no config\.json"):
        clear_run(tmp_path)
    assert _files(tmp_path) == sorted(names)


def test_nothing_to_remove_is_fine(tmp_path):
    clear_run(tmp_path)
    clear_run(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_link_goes_and_its_target_stays(tmp_path):
    _fill(tmp_path, ("elsewhere/ticket.json", "run/config.json"))
    (tmp_path / "run" / "level_00").symlink_to(tmp_path / "elsewhere")
    clear_run(tmp_path / "run")
    assert _files(tmp_path) == ["elsewhere/ticket.json"]
    assert list((tmp_path / "run").iterdir()) == []


def test_what_the_new_run_reads_is_not_removed(tmp_path):
    _fill(tmp_path, OURS)
    with pytest.raises(ConfigError, match="level_00: lies in the run"):
        clear_run(tmp_path, sources=(None, str(tmp_path / "level_00")))
    assert _files(tmp_path) == sorted(OURS)
