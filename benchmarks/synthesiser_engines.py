"""Synthesisers that are no part of the product, each as a program of its own.

| synthesiser | voices | method | licence of the voices |
|---|---|---|---|
| flite 2.2 (Debian flite) | awb, rms, slt | clustergen | CMU, BSD-like (CMU Arctic databases) |
"""

import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

import soundfile

from lottery_train.errors import CorpusError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One utterance to speak.

    Args:
        spoken: text, letters as capitals.
        voice: name of the voice.
        stretch: duration relative to the voice's own, 0.5 to 2.
        pitch: mean fundamental frequency relative to the voice's own, 0.5 to 2.
    """

    spoken: str
    voice: str
    stretch: float = 1.0
    pitch: float = 1.0


# Mean fundamental frequency of the voices, in Hz. rms keeps its own whatever it is asked for.
_FLITE_PITCH_HZ = {"awb": 120, "rms": 100, "slt": 172}


def _run(command, *, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2][:200]
        raise CorpusError(f"{command[0]}: speech synthesis failed (exit status {done.returncode}): {said}")


def speak_flite(requests):
    """Yield (samples float32 (n,), rate in Hz) per request; the same list gives the same samples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for request in requests:
            settings = {
                "duration_stretch": request.stretch,
                "int_f0_target_mean": request.pitch * _FLITE_PITCH_HZ[request.voice],
            }
            options = [part for name, value in settings.items() for part in ("--setf", f"{name}={value:.4f}")]
            _run(["flite", "-voice", request.voice, *options, "-t", request.spoken, "-o", str(path)])
            yield soundfile.read(path, dtype="float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesiser:
    """A program, its voices, and what is made with it.

    Args:
        speak: generator of (samples, rate in Hz) from a list of Request.
        voices: names of the voices.
        splits: split -> number of utterances.
        programs: what must be on the path, and `package` where it comes from.
    """

    speak: object
    voices: tuple
    splits: dict
    programs: tuple
    package: str

    def missing(self):
        """Return the programs that are not installed."""
        return [program for program in self.programs if shutil.which(program) is None]


SYNTHESISERS = {
    "flite": Synthesiser(
        speak=speak_flite,
        voices=("awb", "rms", "slt"),
        splits={"train": 1200, "dev": 60},
        programs=("flite",),
        package="Debian package flite",
    ),
}
