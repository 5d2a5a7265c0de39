"""Speech synthesis by espeak-ng, one fresh process a list of requests."""

import dataclasses
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lottery_train.errors import CorpusError
from runtime.errors import require_extra

_WORKER = Path(__file__).with_name("espeak_worker.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One utterance to speak.

    Args:
        text: what espeak-ng reads; phoneme mnemonics stand in double square brackets.
        voice: espeak-ng voice, with a variant after a plus sign: "en-us+f3".
        rate_wpm: words a minute, 80 to 450.
        pitch: base pitch, 0 to 99 (50 is the voice's own).
        pitch_range: liveliness of the intonation, 0 to 99 (50 is the voice's own).
        seed: of the voice's breath noise.
    """

    text: str
    voice: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50
    seed: int = 1


def _receive(pipe, *, num_bytes):
    data = pipe.read(num_bytes)
    if len(data) != num_bytes:
        raise EOFError
    return data


def _samples(pipe):
    (num_samples,) = struct.unpack("=i", _receive(pipe, num_bytes=4))
    return np.frombuffer(_receive(pipe, num_bytes=2 * num_samples), np.int16).astype(np.float32) / 32768


def synthesise(requests):
    """Speak a list of requests in order.

    The same list gives the same samples, bit for bit, on the same machine; an utterance also depends on those before
    it, since espeak-ng carries state from one to the next.

    Args:
        requests: iterable of Request.
    Yields:
        (samples, sample_rate_hz): float32 (n,) in [-1, 1], for each request.
    Raises:
        MissingExtraError: espeakng-loader is not installed.
        CorpusError: espeak-ng does not know a voice, or fails.
    """
    require_extra("espeakng_loader", extra="train")
    requests = list(requests)
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as complaints:
        lines.writelines(json.dumps(dataclasses.asdict(request)).encode() + b"\n" for request in requests)
        lines.seek(0)
        # -P keeps this folder off the module path: its file names must not hide the standard library's.
        command = [sys.executable, "-P", str(_WORKER)]
        with subprocess.Popen(command, stdin=lines, stdout=subprocess.PIPE, stderr=complaints) as worker:
            try:
                (sample_rate_hz,) = struct.unpack("=i", _receive(worker.stdout, num_bytes=4))
                for _ in requests:
                    yield _samples(worker.stdout), sample_rate_hz
            except EOFError as error:
                code = worker.wait()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise CorpusError(f"speech synthesis failed (exit code {code}): {said}") from error
            finally:
                worker.kill()
