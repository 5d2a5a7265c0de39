"""One folder of cached features: `features.bin`, and `index.json` that says what is in it and how it is checked."""

import hashlib
import sys

import numpy as np

from runtime.errors import LotteryError
from runtime.features import NUM_MELS
from runtime.files import read_json, sha256_file, write_json

DATA_NAME, INDEX_NAME = "features.bin", "index.json"

# Files whose SHA-256 this process has compared: hashing takes a second per GB, so it is done once.
_verified = set()


class FeatureWriter:
    """Writes the features of utterances one after the other, and the index last.

    Args:
        file: DATA_NAME, empty and open for writing.
        dtype: numpy dtype name of the stored features.
    """

    def __init__(self, file, *, dtype):
        self._file, self._dtype = file, np.dtype(dtype)
        self._digest, self._num_rows = hashlib.sha256(), 0
        self.index = {"utterances": [], "starts": [], "lengths": [], "skipped": []}

    def add(self, place, variants):
        """Write every variant of an utterance: list of float32 (T, 80); `place` is its number in the list of all."""
        starts = []
        for frames in variants:
            data = frames.astype(self._dtype).tobytes()
            self._file.write(data)
            self._digest.update(data)
            starts.append(self._num_rows)
            self._num_rows += len(frames)
        self.index["utterances"].append(place)
        self.index["starts"].append(starts)
        self.index["lengths"].append([len(frames) for frames in variants])

    def skip(self, place, reason):
        """Note that an utterance cannot be used."""
        self.index["skipped"].append([place, reason])

    def write_index(self, folder):
        """Write the index beside the data, once that is closed."""
        num_bytes = self._num_rows * NUM_MELS * self._dtype.itemsize
        write_json(folder / INDEX_NAME, {**self.index, "bytes": num_bytes, "sha256": self._digest.hexdigest()})


def open_index(folder, *, dtype, num_utterances, name):
    """Return the index of a folder of features whose data is all there and as it was written.

    Args:
        folder: where they would be.
        dtype: as they were written.
        num_utterances: of the list that they were made from.
        name: of the split, for the message.
    Returns:
        dict, or None where the features have to be computed: there are none, or (said on stderr) they are damaged or
        of an older version.
    """
    if not (folder / INDEX_NAME).exists():
        return None
    try:
        index = read_json(folder / INDEX_NAME)
        fault = _fault(folder, index, dtype=np.dtype(dtype), num_utterances=num_utterances)
    except LotteryError as error:
        fault = str(error)
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError):
        fault = f"{folder / INDEX_NAME}: not an index of features that this version writes"
    except OSError as error:
        fault = f"{folder / DATA_NAME}: cannot read: {error.strerror}"
    if fault is None:
        return index
    print(f"{name}: the cached features cannot be used and are computed again: {fault}", file=sys.stderr)
    return None


def _fault(folder, index, *, dtype, num_utterances):
    """Return what is wrong with an index or its data, or None."""
    path, row_bytes = folder / DATA_NAME, NUM_MELS * dtype.itemsize
    starts, lengths = np.array(index["starts"], np.int64), np.array(index["lengths"], np.int64)
    places = [*index["utterances"], *(place for place, _ in index["skipped"])]
    is_whole = starts.shape == lengths.shape == (len(index["utterances"]), starts.shape[1])
    is_whole = is_whole and sorted(places) == list(range(num_utterances))
    # Rows lie one after the other, in the order of the index.
    is_whole = is_whole and (np.cumsum(lengths.ravel()) - lengths.ravel() == starts.ravel()).all()
    if not is_whole or index["bytes"] != int(lengths.sum()) * row_bytes:
        return f"{folder / INDEX_NAME}: does not describe {num_utterances} utterances"
    status = path.stat()
    if status.st_size != index["bytes"]:
        return f"{path}: {status.st_size} bytes, expected {index['bytes']}"
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, index["sha256"])
    if identity not in _verified:
        if sha256_file(path) != index["sha256"]:
            return f"{path}: its SHA-256 is not that of the features that were written"
        _verified.add(identity)
    return None
