"""Synthesisers that are no part of the product, each as a program of its own.

| synthesiser | used for | voices | method | licence of the voices |
|---|---|---|---|---|
| flite 2.2 (Debian flite) | train, dev | awb, rms, slt | statistical, CMU Arctic | CMU, BSD-like |
| festival 2.5 (Debian festvox-kallpc16k, -kdlpc16k) | dev | kal_diphone, ked_diphone | diphone | Edinburgh, MIT-like |
| SVOX Pico (Debian non-free libttspico-utils) | test | en-US, en-GB | statistical | Apache-2.0, no source of voices |
| hibari (PyPI hibari-tts 0.2.1) | test | heart | neural, distilled from Kokoro | Apache-2.0 |
| gnuspeech (npm @echogarden/gnuspeech-wasm 0.3.0) | test | male, female | articulatory | GPL-3.0 |

flite's kal and kal16 are left out, since festival's kal_diphone is the same speaker. gnuspeech's children are left out,
since no corpus of the recogniser holds children. The npm package of SVOX Pico brings no voices. hibari's package brings
this voice and downloads others, which are not used. flite reads 2 of the 115 letters A of its training texts as the
article.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
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


# Mean fundamental frequency of the voices, in Hz. flite's rms keeps its own whatever it is asked for.
_FLITE_PITCH_HZ = {"awb": 120, "rms": 100, "slt": 172}
_FESTIVAL_PITCH_HZ = {"kal_diphone": 105, "ked_diphone": 105}
_HIBARI_PACKAGE = "hibari-tts==0.2.1"
_GNUSPEECH_PACKAGE = "@echogarden/gnuspeech-wasm@0.3.0"
_GNUSPEECH_WORKER = Path(__file__).with_name("gnuspeech_worker.mjs")


def _failure(name, *, status, said):
    last = said.strip().rpartition("\n")[2][:200]
    return CorpusError(f"{name}: speech synthesis failed (exit status {status}): {last}")


def _run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise _failure(command[0], status=done.returncode, said=done.stderr)


def flite_command(request, *, path):
    """Return the command that writes a request's speech to a WAV file."""
    settings = {
        "duration_stretch": request.stretch,
        "int_f0_target_mean": request.pitch * _FLITE_PITCH_HZ[request.voice],
    }
    options = [part for name, value in settings.items() for part in ("--setf", f"{name}={value:.4f}")]
    return ["flite", "-voice", request.voice, *options, "-t", request.spoken, "-o", str(path)]


def festival_command(request, *, path):
    """Return the command that writes a request's speech to a WAV file."""
    pitch_hz = request.pitch * _FESTIVAL_PITCH_HZ[request.voice]
    steps = (
        f"(voice_{request.voice})",
        f"(Parameter.set 'Duration_Stretch {1.3 * request.stretch:.4f})",
        # The first entry of an association list counts. The voices are slowed to the pace at which AN4's people spell.
        f"(set! int_lr_params (cons (list 'target_f0_mean {pitch_hz:.4f}) int_lr_params))",
        f"(utt.save.wave (utt.synth (Utterance Text {json.dumps(request.spoken)})) {json.dumps(str(path))} 'riff)",
    )
    return ["festival", "-b", *steps]


def pico_command(request, *, path):
    """Return the command that writes a request's speech to a WAV file."""
    speed, pitch = round(100 / request.stretch), round(100 * request.pitch)
    marked = f'<pitch level="{pitch}"><speed level="{speed}">{request.spoken}</speed></pitch>'
    return ["pico2wave", "-l", request.voice, "-w", str(path), marked]


def speak_by_command(build_command):
    """Return a generator of (samples, rate in Hz) from a list of Request: one process per utterance."""

    def speak(requests):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            for request in requests:
                _run(build_command(request, path=path))
                yield soundfile.read(path, dtype="float32")
                path.unlink()

    return speak


def speak_hibari(requests):
    """Yield (samples float32 (n,), rate in Hz) per request, by a package in a scratch folder; hibari takes no pitch."""
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "pip", "install", "--no-deps", "--target", folder, _HIBARI_PACKAGE])
        path = Path(folder) / "speech.wav"
        for number, request in enumerate(requests):
            options = ["--voice", request.voice, "--speed", f"{1 / request.stretch:.4f}", "--seed", str(number)]
            command = [sys.executable, "-m", "hibari.cli", request.spoken, *options, "-o", str(path)]
            _run(command, env=os.environ | {"PYTHONPATH": folder})
            yield soundfile.read(path, dtype="float32")


def speak_gnuspeech(requests):
    """Yield (samples float32 (n,), rate in Hz) per request, by one node process; gnuspeech takes no pitch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, _GNUSPEECH_PACKAGE], cwd=folder)
        command = ["node", shutil.copy(_GNUSPEECH_WORKER, folder)]
        with (
            tempfile.TemporaryFile("w+") as complaints,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
            ) as worker,
        ):
            try:
                for number, request in enumerate(requests):
                    line = {"spoken": request.spoken, "voice": request.voice, "tempo": 1 / request.stretch}
                    worker.stdin.write(json.dumps(line | {"seed": number, "path": str(path)}) + "\n")
                    worker.stdin.flush()
                    if not worker.stdout.readline():
                        status = worker.wait()
                        complaints.seek(0)
                        raise _failure("gnuspeech", status=status, said=complaints.read())
                    yield soundfile.read(path, dtype="float32")
            finally:
                worker.kill()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthesiser:
    """A program, its voices, and what is made with it.

    Args:
        speak: generator of (samples float32 (n,), rate in Hz) from a list of Request; the same list gives the same
            samples on the same machine.
        voices: names of the voices.
        sizes: split -> number of utterances.
        programs: what must be on the path, and `package` where it comes from.
        respelled: word -> what the synthesiser reads as that word, for words that it reads wrongly.
    """

    speak: object
    voices: tuple
    sizes: dict
    programs: tuple
    package: str
    respelled: dict

    def spell(self, spoken):
        """Return `spoken` with the words that the synthesiser reads wrongly respelled; commas stay."""
        return re.sub(r"[^ ,]+", lambda found: self.respelled.get(found[0], found[0]), spoken)

    def missing(self):
        """Return the programs that are not installed."""
        return [program for program in self.programs if shutil.which(program) is None]


SYNTHESISERS = {
    "flite": Synthesiser(
        speak=speak_by_command(flite_command),
        voices=("awb", "rms", "slt"),
        sizes={"train": 1200, "dev": 60},
        programs=("flite",),
        package="Debian package flite",
        respelled={"latte": "lah tay", "rubout": "rub out"},
    ),
    "festival": Synthesiser(
        speak=speak_by_command(festival_command),
        voices=("kal_diphone", "ked_diphone"),
        sizes={"dev": 150},
        programs=("festival",),
        package="Debian packages festival, festvox-kallpc16k and festvox-kdlpc16k",
        respelled={"A": "eigh", "latte": "lah tay", "rubout": "rub out"},
    ),
    "pico": Synthesiser(
        speak=speak_by_command(pico_command),
        voices=("en-US", "en-GB"),
        sizes={"test": 150},
        programs=("pico2wave",),
        package="Debian non-free package libttspico-utils",
        respelled={"A": """<phoneme ph='"eI'/>""", "rubout": "rub out"},
    ),
    "gnuspeech": Synthesiser(
        speak=speak_gnuspeech,
        voices=("male", "female"),
        sizes={"test": 150},
        programs=("node", "npm"),
        package="Node.js 20 with npm",
        respelled={"latte": "latay"},
    ),
    "hibari": Synthesiser(
        speak=speak_hibari,
        voices=("heart",),
        sizes={"test": 150},
        programs=(),
        package="pip",
        respelled={"A": "[A](/\u02c8A/)", "rubout": "rub out"},
    ),
}
