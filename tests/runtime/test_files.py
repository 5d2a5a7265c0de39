"""Files appear whole or not at all."""

import errno
import hashlib
import os

import pytest

from runtime.errors import LotteryError
from runtime.files import atomic_directory, read_json, sha256_file, write_atomic, write_json


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
