"""Two trainings in one run directory: the second is refused before it changes anything."""

import os
import subprocess
import sys

import pytest

from lottery_train import lock
from lottery_train.cli import main
from lottery_train.errors import ConfigError
from lottery_train.lock import lock_run

pytest.importorskip("fcntl", reason="this system has no flock")

_HOLDER = """
import sys
from lottery_train.lock import lock_run
with lock_run(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its stdin ends."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_directory_is_locked_while_another_process_works_there(holder, tmp_path):
    with (
        pytest.raises(ConfigError, match=rf"run: another lottery-train is at work here \(process {holder.pid} on "),
        lock_run(tmp_path / "run"),
    ):
        pytest.fail("two at once")
    with lock_run(tmp_path / "other"):
        assert os.listdir(tmp_path / "other") == [lock.NAME]
    assert os.listdir(tmp_path / "other") == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_lock_ends_with_its_process(holder, tmp_path, is_killed):
    if is_killed:
        holder.kill()
    holder.communicate()
    assert (tmp_path / "run" / lock.NAME).exists() == is_killed
    with lock_run(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path / "run") == []


def test_a_lock_file_that_its_owner_removes_meanwhile_is_not_taken(tmp_path, monkeypatch):
    """Between opening and locking, the owner may end and remove it; a third process could then lock its own."""
    flock, opened = lock.fcntl.flock, []

    def removed_meanwhile(file, operation):
        if not opened:
            (tmp_path / lock.NAME).unlink()
        opened.append(file)
        flock(file, operation)

    monkeypatch.setattr(lock.fcntl, "flock", removed_meanwhile)
    with lock_run(tmp_path):
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(opened[1].fileno()), os.stat(tmp_path / lock.NAME))


@pytest.mark.parametrize("flock", [None, OSError(95, "Operation not supported")])
def test_where_nothing_can_be_locked_stderr_says_so(tmp_path, monkeypatch, capsys, flock):
    def fails(file, operation):
        raise flock

    if flock is None:
        monkeypatch.setattr(lock, "fcntl", None)
    else:
        monkeypatch.setattr(lock.fcntl, "flock", fails)
    with lock_run(tmp_path):
        assert f"note: {tmp_path} cannot be locked" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--no-resume"]])
def test_a_second_training_is_refused_and_the_processes_of_one_share(tones, tmp_path, capsys, monkeypatch, flags):
    started = []
    monkeypatch.setattr("lottery_train.cli._train", lambda arguments, config: started.append(os.environ.get("RANK")))
    out = tmp_path / "run"
    command = ["--corpus", "tones", "--data-dir", str(tones), "--out", str(out), *flags]
    with lock_run(out):
        (out / "config.json").write_text("{}")
        assert main(command) == 2
        captured = capsys.readouterr()
        assert f"error: {out}: another lottery-train is at work here (process {os.getpid()} on " in captured.err
        assert "hint: wait until it has ended, or choose another --out" in captured.err
        assert (out / "config.json").exists()
        # The other processes of torchrun belong to the one that holds the lock.
        monkeypatch.setenv("RANK", "1")
        assert main(command) == 0
        monkeypatch.delenv("RANK")
    assert main(command) == 0
    assert started == ["1", None]
    assert not (out / lock.NAME).exists()
