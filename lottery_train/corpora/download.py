"""Official archives: fetched with resume, checked, unpacked whole or not at all."""

import gzip
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lottery_train.errors import CorpusError
from runtime.files import explain_os_errors, sha256_file
from runtime.foreign import short

TIMEOUT_S = 30
_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A .tar.gz at a corpus's official address.

    Args:
        url: its address.
        sha256: 64 hex digits, or None where nobody publishes any.
        folder: name of a folder to unpack into, for an archive without a folder of its own.
    """

    url: str
    sha256: str | None = None
    folder: str = "."

    @property
    def name(self):
        """File name at the end of the address."""
        return self.url.rpartition("/")[2]


def _open(url, *, start_bytes):
    request = urllib.request.Request(url, headers={"Range": f"bytes={start_bytes}-"} if start_bytes else {})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start_bytes:  # nothing is left to fetch, or the file has changed: start over
            return _open(url, start_bytes=0)
        raise


def _receive(url, *, part):
    """Append what `part` lacks of the file at `url`, or all of it where the server cannot resume."""
    start_bytes = part.stat().st_size if part.exists() else 0
    with _open(url, start_bytes=start_bytes) as response:
        resumes = response.status == 206
        start_bytes = start_bytes if resumes else 0
        length = response.headers.get("Content-Length")
        total_bytes = start_bytes + int(length) if length else None
        bar = tqdm(total=total_bytes, initial=start_bytes, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, open(part, "ab" if resumes else "wb") as file:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
    received_bytes = part.stat().st_size
    if total_bytes is not None and received_bytes != total_bytes:
        raise CorpusError(
            f"{url}: the connection ended after {received_bytes} of {total_bytes} bytes",
            hint="run the command again: it goes on where it stopped",
        )


def fetch(archive, *, folder):
    """Download an archive, going on where an earlier attempt stopped.

    Args:
        archive: Archive.
        folder: where it is kept; created if needed.
    Returns:
        path of the complete, checked file.
    Raises:
        CorpusError: no network, an error of the server, a broken connection, or another checksum than expected.
        LotteryError: the folder cannot be written.
    """
    path = Path(folder) / archive.name
    if path.exists():
        return path
    part = path.with_name(path.name + ".part")
    try:
        with explain_os_errors(folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        _receive(archive.url, part=part)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise CorpusError(f"cannot download {archive.url}: {getattr(error, 'reason', error)}") from error
    except OSError as error:
        raise CorpusError(f"cannot download {archive.url} to {part}: {error.strerror or error}") from error
    if archive.sha256 is not None and sha256_file(part) != archive.sha256:
        part.unlink()
        raise CorpusError(
            f"{archive.url}: the downloaded file has another checksum than expected, and was removed",
            hint="run the command again; if it happens again, the published file has changed",
        )
    part.replace(path)
    return path


def _extract(path, *, folder):
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tqdm(tar, desc=f"unpack {path.name}", unit="file", disable=None):
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        hint = "remove the file and run the command again"
        raise CorpusError(f"{path}: cannot unpack: {short(error)}", hint=hint) from error


def download_archives(archives, *, folder):
    """Fetch archives and unpack them side by side; `folder` appears only once all of them are complete.

    Args:
        archives: iterable of Archive.
        folder: where their contents go; where it exists, nothing is done.
    Returns:
        `folder`.
    Raises:
        CorpusError: a download failed, an archive cannot be unpacked or points outside of the folder, or this Python
            cannot unpack what it does not trust.
        LotteryError: the folder cannot be written.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    if not hasattr(tarfile, "data_filter"):
        raise CorpusError(
            "this Python unpacks archives wherever they point: it is older than 3.11.4",
            hint=f"use a newer Python, or unpack the corpus into {folder} yourself",
        )
    paths = [fetch(archive, folder=folder.parent) for archive in archives]
    with explain_os_errors(folder):
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for archive, path in zip(archives, paths, strict=True):
                _extract(path, folder=temporary / archive.folder)
            os.chmod(temporary, 0o755)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for path in paths:
            path.unlink()
    return folder
