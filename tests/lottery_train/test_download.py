"""Downloads from a server of this machine: resume, checks, nothing half-done."""

import gzip
import hashlib
import http.server
import io
import re
import tarfile
import threading

import numpy as np
import pytest

from lottery_train.corpora import IMPORTERS
from lottery_train.corpora.download import Archive, download_archives, fetch, unpack
from lottery_train.errors import CorpusError

needs_filter = pytest.mark.skipif(
    not hasattr(tarfile, "data_filter"), reason="this Python (older than 3.11.4) unpacks archives wherever they point"
)

CONTENT = np.random.default_rng(0).bytes(600_000)


def _tar(members):
    """Return a .tar.gz holding {name: bytes}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class _Server(http.server.ThreadingHTTPServer):
    """Serves `files`; cuts the answers in `cut` short once; ignores Range where `resumes` is False."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.cut, self.resumes, self.ranges, self.redirects = {}, {}, True, [], {}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
            return
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.resumes else 0
        if first and first >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        self.wfile.write(data[first : self.server.cut.pop(self.path, len(data))])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _archive(server, path, **fields):
    """Return the Archive of what the server has there, its checksum right where no other is given."""
    digest = hashlib.sha256(server.files.get(path, b"")).hexdigest()
    return Archive(url=f"http://127.0.0.1:{server.server_address[1]}{path}", **{"sha256": digest} | fields)


def test_a_complete_download_is_kept_and_not_repeated(server, tmp_path):
    server.files["/x.bin"] = CONTENT
    archive = _archive(server, "/x.bin", sha256=hashlib.sha256(CONTENT).hexdigest())
    path = fetch(archive, folder=tmp_path / "new")
    assert path == tmp_path / "new" / "x.bin"
    assert path.read_bytes() == CONTENT
    assert fetch(archive, folder=tmp_path / "new") == path
    assert server.ranges == [None]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path, resumes):
    server.files["/x.bin"], server.resumes = CONTENT, resumes
    server.cut["/x.bin"] = 400_000
    archive = _archive(server, "/x.bin", sha256=hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(CorpusError, match="ended after 400000 of 600000 bytes") as caught:
        fetch(archive, folder=tmp_path)
    assert "goes on where it stopped" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin.part"]
    assert fetch(archive, folder=tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_a_finished_part_that_was_never_renamed_is_fetched_again(server, tmp_path):
    server.files["/x.bin"] = CONTENT
    (tmp_path / "x.bin.part").write_bytes(CONTENT)
    assert fetch(_archive(server, "/x.bin"), folder=tmp_path).read_bytes() == CONTENT


def test_another_checksum_removes_the_file(server, tmp_path):
    server.files["/x.bin"] = CONTENT
    with pytest.raises(CorpusError, match="another checksum than expected"):
        fetch(_archive(server, "/x.bin", sha256="0" * 64), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lies_there_already_is_checked_too(server, tmp_path):
    server.files["/x.bin"] = CONTENT
    (tmp_path / "x.bin").write_bytes(b"planted")
    with pytest.raises(CorpusError, match="another checksum than expected"):
        fetch(_archive(server, "/x.bin"), folder=tmp_path)
    assert fetch(_archive(server, "/x.bin"), folder=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://example.org/a.tar.gz", "ftp://127.0.0.1/a", "file:///etc/passwd", "//x/a"])
def test_only_https_is_fetched(server, tmp_path, url):
    with pytest.raises(CorpusError, match="over HTTPS alone"):
        fetch(Archive(url=url, sha256="0" * 64), folder=tmp_path)
    # and no redirection leads elsewhere
    server.files["/x.bin"], server.redirects["/x.bin"] = CONTENT, url if "example" in url else "http://example.org/a"
    with pytest.raises(CorpusError, match="over HTTPS alone"):
        fetch(_archive(server, "/x.bin"), folder=tmp_path)


def test_every_corpus_has_an_address_that_cannot_be_changed_on_the_way_and_a_checksum():
    archives = [archive for importer in IMPORTERS.values() for archive in importer.ARCHIVES]
    assert len(archives) >= 8
    for archive in archives:
        assert archive.url.startswith("https://"), archive
        assert re.fullmatch("[0-9a-f]{64}", archive.sha256), archive


def _write(path, tar_content):
    path.write_bytes(gzip.compress(tar_content))
    return path


def _header(name, *, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS = {
    "zeros": (lambda: _header("a", size=2 << 30) + bytes(1 << 20), "unpacks to more than"),
    "a name": (lambda: _header("a", size=1 << 30, kind=tarfile.GNUTYPE_LONGNAME), "a header of"),
    "a pax header": (lambda: _header("a", size=1 << 30, kind=tarfile.XHDTYPE), "a header of"),
}


@needs_filter
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_not_go_off(tmp_path, bomb):
    content, complaint = BOMBS[bomb]
    path = _write(tmp_path / "bomb.tar.gz", content())
    with pytest.raises(CorpusError, match=f"cannot unpack: .*{complaint}"):
        unpack(path, folder=tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) == 0


@needs_filter
def test_many_files_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("lottery_train.corpora.download._MIN_UNPACKED_BYTES", 1 << 20)
    path = _write(tmp_path / "bomb.tar.gz", b"".join(_header(f"{n}", size=1 << 19) + bytes(1 << 19) for n in range(9)))
    with pytest.raises(CorpusError, match="more than"):
        unpack(path, folder=tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) <= 1 << 20


def test_a_refusal_of_the_server_is_told(server, tmp_path):
    with pytest.raises(CorpusError, match=r"cannot download http://127\.0\.0\.1:\d+/none\.tar\.gz: Not Found"):
        fetch(_archive(server, "/none.tar.gz"), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_filter
def test_archives_are_unpacked_side_by_side_and_removed(server, tmp_path):
    server.files["/a.tar.gz"] = _tar({"LibriSpeech/dev/1.txt": b"one"})
    server.files["/b.tar.gz"] = _tar({"LibriSpeech/test/2.txt": b"two"})
    server.files["/c.tar.gz"] = _tar({"3.txt": b"three"})
    archives = [
        _archive(server, "/a.tar.gz"),
        _archive(server, "/b.tar.gz"),
        _archive(server, "/c.tar.gz", folder="speech"),
    ]
    folder = download_archives(archives, folder=tmp_path / "x" / "libri")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"LibriSpeech/dev/1.txt": b"one", "LibriSpeech/test/2.txt": b"two", "speech/3.txt": b"three"}
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["libri"]
    assert download_archives(archives, folder=folder) == folder
    assert len(server.ranges) == 3


@needs_filter
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-200],
        lambda data: b"no archive at all",
        lambda data: data[:60] + bytes(40) + data[100:],
        lambda data: _tar({"../outside.txt": b"evil"}),
    ],
    ids=["truncated", "not a tar", "altered", "points outside"],
)
def test_a_damaged_archive_leaves_nothing_unpacked(server, tmp_path, damage):
    server.files["/a.tar.gz"] = damage(_tar({"a.txt": CONTENT}))
    with pytest.raises(CorpusError, match=r"a\.tar\.gz: cannot unpack"):
        download_archives([_archive(server, "/a.tar.gz")], folder=tmp_path / "inner" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "inner"]


def test_a_python_that_unpacks_anywhere_is_refused_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    server.files["/a.tar.gz"] = _tar({"a.txt": CONTENT})
    with pytest.raises(CorpusError, match="older than 3.11.4") as caught:
        download_archives([_archive(server, "/a.tar.gz")], folder=tmp_path / "out")
    assert "unpack the corpus into" in caught.value.hint
    assert not list(tmp_path.iterdir())
