"""Official archives: fetched over HTTPS with resume, checked, unpacked whole or not at all, within bounds."""

import gzip
import http.client
import ipaddress
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
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
# Speech hardly compresses: an archive that unpacks to more is a bomb.
MAX_EXPANSION = 20
_MIN_UNPACKED_BYTES = 1 << 30
_MAX_DOWNLOAD_BYTES = 1 << 37
_MAX_MEMBERS = 1 << 22
# tarfile reads names and headers in one piece, contents in pieces of 16 KiB.
_MAX_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A .tar.gz at a corpus's official address.

    Args:
        url: its address.
        sha256: 64 hex digits.
        folder: name of a folder to unpack into, for an archive without a folder of its own.
    """

    url: str
    sha256: str
    folder: str = "."

    @property
    def name(self):
        """File name at the end of the address."""
        return self.url.rpartition("/")[2]


class _StayPrivate(urllib.request.HTTPRedirectHandler):
    """Follows redirections to HTTPS alone."""

    def redirect_request(self, request, file, code, message, headers, url):
        _require_https(url)
        return super().redirect_request(request, file, code, message, headers, url)


def _require_https(url):
    """Raise CorpusError unless nobody on the way can change what an address sends: HTTPS, or this machine itself."""
    parts = urllib.parse.urlsplit(url)
    try:
        is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_here = False
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise CorpusError(f"cannot download {short(url, is_quoted=False)}: archives are fetched over HTTPS alone")


def _open(url, *, start_bytes):
    _require_https(url)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start_bytes}-"} if start_bytes else {})
    try:
        return urllib.request.build_opener(_StayPrivate).open(request, timeout=TIMEOUT_S)
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
                if file.tell() > _MAX_DOWNLOAD_BYTES:
                    raise CorpusError(f"{url}: longer than {_MAX_DOWNLOAD_BYTES} bytes: no archive of a corpus is")
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
        _check(path, archive=archive)
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
    _check(part, archive=archive)
    part.replace(path)
    return path


def _check(path, *, archive):
    """Remove a file that is not the archive, and raise CorpusError."""
    if sha256_file(path) != archive.sha256:
        path.unlink()
        raise CorpusError(
            f"{archive.url}: the downloaded file has another checksum than expected, and was removed",
            hint="run the command again; if it happens again, the published file has changed",
        )


class _Bounded:
    """A decompressed stream that tarfile cannot read further, or in larger pieces, than a corpus needs.

    Args:
        file: gzip.GzipFile.
        max_bytes: how far it may be read.
    """

    def __init__(self, file, *, max_bytes):
        self._file, self._max_bytes = file, max_bytes
        self.seek, self.tell = file.seek, file.tell

    def read(self, size=-1):
        if not 0 <= size <= _MAX_READ_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        if self._file.tell() + size > self._max_bytes:
            raise tarfile.ReadError(f"it unpacks to more than {self._max_bytes} bytes")
        return self._file.read(size)


def unpack(path, *, folder):
    """Unpack a .tar.gz into a folder.

    Raises:
        CorpusError: damaged, it points outside of the folder, or it unpacks to far more than it holds.
    """
    max_bytes = max(_MIN_UNPACKED_BYTES, MAX_EXPANSION * path.stat().st_size)
    num_bytes = num_members = 0
    try:
        with gzip.open(path) as file, tarfile.open(fileobj=_Bounded(file, max_bytes=max_bytes), mode="r:") as tar:
            for member in tqdm(tar, desc=f"unpack {path.name}", unit="file", disable=None):
                # A sparse member takes no room in the archive: what it claims counts.
                num_bytes, num_members = num_bytes + member.size, num_members + 1
                if num_bytes > max_bytes or num_members > _MAX_MEMBERS:
                    raise tarfile.ReadError(f"it unpacks to more than {max_bytes} bytes or {_MAX_MEMBERS} files")
                tar.extract(member, folder, filter="data")
    # Beside its own errors: what numbers and names of a header lead tarfile to.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
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
                unpack(path, folder=temporary / archive.folder)
            os.chmod(temporary, 0o755)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for path in paths:
            path.unlink()
    return folder
