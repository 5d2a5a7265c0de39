"""The process that speaks: espeak-ng behind a pipe.

espeak-ng keeps its state in globals that one utterance leaves to the next, may print, and may crash on a bad voice.
So it runs alone in a fresh process, which makes a list of requests give the same samples every time.

stdin: one JSON object a line {"voice", "text", "rate_wpm", "pitch", "pitch_range", "seed"}.
stdout: int32 sample rate; then for each request int32 number of samples, and the samples (int16). Native byte order.

This file is run by its path and imports nothing of the project.
"""

import ctypes
import json
import os
import struct
import sys

import espeakng_loader

# Source of the constants: speak_lib.h of espeak-ng 1.52.
_OUTPUT_SYNCHRONOUS = 2
_POSITION_CHARACTER = 1
_UTF8_WITH_PHONEMES = 0x1 | 0x100
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The espeak-ng library, opened once a process.

    Raises:
        RuntimeError: the library cannot be initialised.
    """

    def __init__(self):
        # espeak-ng keeps the path of its data in a buffer of 160 characters: a relative path always fits.
        os.chdir(espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sample_rate_hz = self._library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, b".", 0)
        if self.sample_rate_hz <= 0:
            raise RuntimeError("espeak-ng does not find its data")
        self._blocks = []
        self._callback = _SynthCallback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, num_samples, _events):
        if num_samples > 0:
            self._blocks.append(ctypes.string_at(samples, 2 * num_samples))
        return 0

    def speak(self, text, *, voice, rate_wpm, pitch, pitch_range, seed):
        """Return an utterance as int16 bytes.

        Raises:
            RuntimeError: unknown voice or variant, or a synthesis error.
        """
        # An unknown variant is not an error to espeak-ng: it would silently speak with the plain voice.
        variant = voice.partition("+")[2]
        if variant and not os.path.isfile(os.path.join("voices", "!v", variant)):
            raise RuntimeError(f"espeak-ng has no voice variant {variant!r}")
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in (
            (_PARAMETER_RATE, rate_wpm),
            (_PARAMETER_PITCH, pitch),
            (_PARAMETER_RANGE, pitch_range),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._blocks.clear()
        data = text.encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        if self._library.espeak_Synth(data, size, 0, _POSITION_CHARACTER, 0, _UTF8_WITH_PHONEMES, None, None):
            raise RuntimeError(f"espeak-ng cannot speak {text!r}")
        return b"".join(self._blocks)


def main():
    """Serve requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not land among the samples
    espeak = Espeak()
    replies.write(struct.pack("=i", espeak.sample_rate_hz))
    for line in sys.stdin.buffer:
        samples = espeak.speak(**json.loads(line))
        replies.write(struct.pack("=i", len(samples) // 2))
        replies.write(samples)
    replies.close()


if __name__ == "__main__":
    main()
