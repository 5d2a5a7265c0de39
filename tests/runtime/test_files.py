"""Files appear whole or not at all."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import files
from runtime.errors import LotteryError
from runtime.files import (
    atomic_directory,
    finish_interrupted,
    read_json,
    require_writable,
    sha256_file,
    write_atomic,
    write_json,
)


def test_sha256_equals_hashlib(tmp_path):
    data = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_write_atomic_replaces_and_makes_parents(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_failed_write_keeps_the_old_file_and_nothing_else(tmp_path, monkeypatch, code):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LotteryError, match=os.strerror(code)) as caught:
        write_atomic(path, "new")
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_where_a_directory_is_needed(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LotteryError, match="cannot write"):
        write_atomic(tmp_path / "file" / "inside", "y")
    with pytest.raises(LotteryError, match="Not a directory"), atomic_directory(tmp_path / "file"):
        pass


def test_whether_a_file_can_be_written_is_found_out_without_a_trace(tmp_path):
    (tmp_path / "file").write_text("x")
    require_writable(tmp_path / "file")
    require_writable(tmp_path / "a" / "b" / "new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "x"
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "inside", "Not a directory")):
        with pytest.raises(LotteryError, match=f"cannot write: {reason}") as caught:
            require_writable(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert caught.value.hint


def test_json_round_trip_and_errors(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"b": [1, 2.5, None]}
    (tmp_path / "bad.json").write_text('{\n"a": }')
    with pytest.raises(LotteryError, match=r"bad\.json:2: not JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(LotteryError, match="No such file"):
        read_json(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))


def test_atomic_directory_appears_whole_and_replaces(tmp_path):
    target = tmp_path / "bundle"
    for content in ("old", "new"):
        with atomic_directory(target) as partial:
            (partial / "sub").mkdir()
            (partial / "sub" / "file").write_text(content)
            assert not target.exists() or (target / "sub" / "file").read_text() == "old"
    assert (target / "sub" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_atomic_directory_leaves_nothing_after_an_error(tmp_path):
    def killed():
        with atomic_directory(tmp_path / "bundle") as partial:
            (partial / "file").write_text("x")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        killed()
    assert os.listdir(tmp_path) == []


def write_directory(path, content):
    with atomic_directory(path) as partial:
        (partial / "file").write_text(content)


def contents(folder):
    """Return {name: content of its `file`} of the directories in a folder."""
    return {each.name: (each / "file").read_text() for each in Path(folder).iterdir()}


def test_a_directory_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    write_directory(tmp_path / "bundle", "old")
    rename = os.rename

    def fail(source, target):
        if Path(target).name == "bundle" and not str(source).endswith(".old"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(LotteryError, match="Input/output error"):
        write_directory(tmp_path / "bundle", "new")
    assert contents(tmp_path) == {"bundle": "old"}


def test_ctrl_c_while_directories_change_places_leaves_the_old_one(tmp_path, monkeypatch):
    write_directory(tmp_path / "bundle", "old")
    rename = os.rename

    def interrupt_once(source, target):
        rename(source, target)
        monkeypatch.setattr(os, "rename", rename)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        write_directory(tmp_path / "bundle", "new")
    assert contents(tmp_path) == {"bundle": "old"}


CRASH = """
import os, sys
from runtime import files
renames, rename = [], os.rename
def crash(source, target):
    if len(renames) == {num_renames}:
        os._exit(9)
    renames.append(source)
    rename(source, target)
os.rename = crash
files.shutil.rmtree = lambda *_, **__: os._exit(9)
with files.atomic_directory(sys.argv[1]) as partial:
    (partial / "file").write_text("new")
"""


def crash(path, *, num_renames):
    """Replace a directory in a process that is gone after so many renames."""
    command = [sys.executable, "-c", CRASH.format(num_renames=num_renames), str(path)]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": os.getcwd()}).returncode == 9


@pytest.mark.parametrize("num_renames", [0, 1, 2])
def test_a_crash_at_any_rename_loses_neither_directory(tmp_path, num_renames):
    write_directory(tmp_path / "bundle", "old")
    crash(tmp_path / "bundle", num_renames=num_renames)
    found = contents(tmp_path)
    assert sorted(found.values()) == ["new", "old"]
    assert found.get("bundle") == {0: "old", 1: None, 2: "new"}[num_renames]
    # Not finished before it was moved: the old one stays.
    finish_interrupted(tmp_path / "bundle")
    assert contents(tmp_path) == {"bundle": {0: "old", 1: "new", 2: "new"}[num_renames]}


def test_the_old_directory_comes_back_where_the_new_one_is_lost(tmp_path):
    write_directory(tmp_path / "bundle", "old")
    crash(tmp_path / "bundle", num_renames=1)
    (new,) = tmp_path.glob(".bundle.*.partial")
    (new / "file").unlink()
    new.rmdir()
    finish_interrupted(tmp_path / "bundle")
    assert contents(tmp_path) == {"bundle": "old"}


def test_the_next_write_clears_up_after_a_crash(tmp_path):
    write_directory(tmp_path / "bundle", "old")
    for num_renames in (0, 1, 2):
        crash(tmp_path / "bundle", num_renames=num_renames)
    write_directory(tmp_path / "bundle", "newest")
    assert contents(tmp_path) == {"bundle": "newest"}


def test_what_another_process_writes_just_now_is_left_alone(tmp_path):
    write_directory(tmp_path / "bundle", "old")
    crash(tmp_path / "bundle", num_renames=1)
    with atomic_directory(tmp_path / "other") as partial:
        (partial / "file").write_text("being written")
        before = sorted(tmp_path.iterdir())
        # The same state but for the lock: moved aside, and still at work.
        (tmp_path / "other").mkdir()
        (tmp_path / "other").rename(f"{partial}.old")
        finish_interrupted(tmp_path / "other")
        assert partial.is_dir()
        assert not (tmp_path / "other").exists()
        Path(f"{partial}.old").rmdir()
        assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "other" / "file").read_text() == "being written"


def test_hidden_directories_of_a_user_are_not_taken_for_leftovers(tmp_path):
    for name in (".bundle.download", ".bundle.download.old", ".bundle.v2.abcdefgh.partial", "bundle.abcdefgh.partial"):
        write_directory(tmp_path / name, "mine")
    before = contents(tmp_path)
    write_directory(tmp_path / "bundle", "new")
    assert contents(tmp_path) == before | {"bundle": "new"}


@pytest.mark.parametrize("has_old", [False, True])
def test_the_directory_that_another_process_finished_first_stays(tmp_path, has_old):
    path = tmp_path / "bundle"
    if has_old:
        write_directory(path, "old")
    with atomic_directory(path) as slow:
        (slow / "file").write_text("slow")
        write_directory(path, "fast")
        finished = path.stat().st_ino
    assert path.stat().st_ino == finished
    assert contents(tmp_path) == {"bundle": "fast"}


def test_a_directory_finished_at_the_last_moment_stays_too(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    write_directory(path, "old")
    rename = os.rename

    def other_is_faster(source, target):
        monkeypatch.setattr(os, "rename", rename)
        write_directory(path, "fast")
        rename(source, target)

    with atomic_directory(path) as slow:
        (slow / "file").write_text("slow")
        monkeypatch.setattr(os, "rename", other_is_faster)
    assert contents(tmp_path) == {"bundle": "fast"}


def test_everything_inside_a_directory_is_made_durable_before_it_appears(tmp_path, monkeypatch):
    synced, path, sync = set(), tmp_path / "bundle", files.sync

    def note(synced_path):
        sync(synced_path)
        synced.add(os.stat(synced_path).st_ino)
        if not path.exists():
            before.update(synced)

    before = set()
    monkeypatch.setattr(files, "sync", note)
    with atomic_directory(path) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "file").write_text("x")
    assert before == {each.stat().st_ino for each in (path, path / "sub", path / "sub" / "file")}
    assert tmp_path.stat().st_ino in synced


def test_a_linked_directory_stays_a_link(tmp_path):
    write_directory(tmp_path / "real", "old")
    (tmp_path / "alias").symlink_to("real")
    write_directory(tmp_path / "alias", "new")
    assert (tmp_path / "alias").is_symlink()
    assert contents(tmp_path) == {"real": "new", "alias": "new"}
