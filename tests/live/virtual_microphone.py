"""A microphone that PortAudio really records: PulseAudio's pipe source behind ALSA's pulse plugin, fed by a thread.

The server belongs to one VirtualMicrophone, in a folder of its own: it touches nothing of the machine's sound. Programs
that shall hear it are started with `microphone.environment` and record from the device `microphone.device`.
"""

import collections
import contextlib
import ctypes.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

FRAGMENT_S = 0.01
_MARK_S = 0.1
# The feeder may be so late; what is later nobody wanted: a microphone does not deliver all at once what nobody took.
_MAX_LATE_S = 0.1
_NAME = "vmic"
_START_S = 20.0
_PLUGIN_FOLDERS = ("/usr/lib/*/alsa-lib", "/usr/lib/alsa-lib", "/usr/lib64/alsa-lib")
PACKAGES = "apt install pulseaudio libasound2-plugins libportaudio2"


def missing():
    """Return what a virtual microphone lacks on this machine, in words, or None."""
    found = {
        "pulseaudio": shutil.which("pulseaudio") and shutil.which("pactl"),
        "libasound2-plugins": any(
            list(Path("/").glob(f"{folder[1:]}/libasound_module_pcm_pulse.so")) for folder in _PLUGIN_FOLDERS
        ),
        "libportaudio2": ctypes.util.find_library("portaudio"),
    }
    absent = [name for name, is_there in found.items() if not is_there]
    return f"no {', '.join(absent)}: {PACKAGES}" if absent else None


class VirtualMicrophone:
    """A context manager; plays what `play` is given, and digital silence while there is nothing to play.

    Args:
        sample_rate_hz, num_channels: of the device.
        speed: seconds of audio a second of time.
        fragment_s: seconds of audio that the sound server hands over at once.
    Attributes:
        begin_s: position of the first sample that play() was given; None before.
    """

    device = _NAME

    def __init__(self, *, sample_rate_hz=16000, num_channels=1, speed=1.0, fragment_s=FRAGMENT_S):
        self.sample_rate_hz, self.num_channels, self._speed = sample_rate_hz, num_channels, speed
        self._fragment = round(fragment_s * sample_rate_hz)
        self._queue, self._lock = collections.deque(), threading.Lock()
        self._is_plugged, self._is_stopped = False, False
        self._fifo = None
        self._played = threading.Event()
        self._num_written = 0
        self.begin_s = None
        self._marks = [(0.0, 0.0)]

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="vmic"))
        self._socket = self._folder / "native"
        folder = str(self._folder)
        server = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "PULSE_RUNTIME_PATH"), folder)
        self._server_environment = {**os.environ, **server, "PULSE_STATE_PATH": folder}
        (self._folder / "asound.conf").write_text(
            f'</usr/share/alsa/alsa.conf>\npcm.{_NAME} {{ type pulse server "unix:{self._socket}" device "{_NAME}" '
            f'hint {{ show on description "{_NAME}" }} }}\n'
        )
        self.environment = {**os.environ, "ALSA_CONFIG_PATH": str(self._folder / "asound.conf")}
        self._log = open(self._folder / "log", "w")
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=true"]
        command += ["--realtime=false", "--high-priority=false"]
        command += ["-L", f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"]
        self._server = subprocess.Popen(command, env=self._server_environment, stdout=self._log, stderr=self._log)
        self._thread = threading.Thread(target=self._feed, name="virtual microphone", daemon=True)
        try:
            self._wait_for_server()
            self.plug()
        except BaseException:
            self._end_server()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_stopped = True
        self._thread.join()
        self._end_server()

    def play(self, samples, *, repeats=1):
        """Say float32 (n,), or (n, channels), ±1, at the device's rate, `repeats` times, after what is being said.

        Mono goes to all channels. A length that is no multiple of a fragment is made one with zeros.
        """
        samples = np.asarray(samples)
        pcm = np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2")
        pcm = np.repeat(pcm[:, None], self.num_channels, axis=1) if pcm.ndim == 1 else pcm
        with self._lock:
            self._queue.extend([pcm] * repeats)
            self._played.clear()

    @property
    def is_silent(self):
        """Whether everything was said."""
        return self._played.is_set()

    def wait(self, *, timeout_s=600.0):
        """Wait until everything was said."""
        if not self._played.wait(timeout_s):
            raise TimeoutError("the virtual microphone was not read")

    @property
    def position_s(self):
        """Seconds of audio, silence included, since the microphone was switched on."""
        return self._num_written / self.sample_rate_hz

    def said_at(self, position_s):
        """Return the time.perf_counter() seconds at which the audio at a position was said."""
        positions_s, times = zip(*self._marks, strict=True)
        return float(np.interp(position_s, positions_s, times))

    def plug(self):
        """Let the device appear."""
        path = self._folder / "fifo"
        self._module = self._control(
            "load-module",
            "module-pipe-source",
            f"source_name={_NAME}",
            f"file={path}",
            "format=s16le",
            f"rate={self.sample_rate_hz}",
            f"channels={self.num_channels}",
        ).strip()
        before, self._fifo = self._fifo, os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        if before is not None:
            os.close(before)
        self._is_plugged = True

    def unplug(self):
        """Let the device vanish; what it would have recorded is lost."""
        self._is_plugged = False
        self._control("unload-module", self._module)

    def end_server(self):
        """Let the whole sound system vanish."""
        self._is_plugged = False
        self._server.kill()
        self._server.wait()

    def _control(self, *arguments):
        command = ["pactl", "-s", f"unix:{self._socket}", *arguments]
        done = subprocess.run(command, env=self._server_environment, capture_output=True, text=True, timeout=_START_S)
        if done.returncode != 0:
            raise RuntimeError(f"pactl {arguments[0]}: {done.stderr.strip()}; {(self._folder / 'log').read_text()}")
        return done.stdout

    def _wait_for_server(self):
        deadline = time.monotonic() + _START_S
        while not self._is_serving():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PulseAudio does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.02)

    def _is_serving(self):
        # The file is there a moment before anybody listens.
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self._socket)) == 0

    def _end_server(self):
        self._server.kill()
        self._server.wait()
        self._log.close()
        if self._fifo is not None:
            os.close(self._fifo)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _feed(self):
        """Write fragments at the pace of a microphone, whether or not anything is to be said.

        While nobody records, or the machine has no time for us, there is nothing to write to; the pace begins anew.
        """
        start = time.perf_counter()
        self._marks = [(0.0, start)]
        while not self._is_stopped:
            due = (time.perf_counter() - start) * self.sample_rate_hz * self._speed
            while self._num_written < due and not self._is_stopped:
                self._write(self._next())
                self._num_written += self._fragment
                late_s = time.perf_counter() - start - self.position_s / self._speed
                if late_s > _MAX_LATE_S:
                    start += late_s
                    due = self._num_written
                if self.position_s - self._marks[-1][0] >= _MARK_S:
                    self._marks.append((self.position_s, time.perf_counter()))
            time.sleep(0.002)

    def _next(self):
        """Return the next fragment, int16 (n, channels)."""
        block = self._fragment
        with self._lock:
            if not self._queue:
                self._played.set()
                return np.zeros((block, self.num_channels), np.int16)
            if self.begin_s is None:
                self.begin_s = self.position_s
            pcm = self._queue.popleft()
            if len(pcm) > block:
                self._queue.appendleft(pcm[block:])
        return np.pad(pcm[:block], ((0, max(0, block - len(pcm))), (0, 0)))

    def _write(self, pcm):
        data = pcm.tobytes()
        while data and self._is_plugged and not self._is_stopped:
            try:
                data = data[os.write(self._fifo, data) :]
            except BlockingIOError:
                time.sleep(0.002)
            except BrokenPipeError:
                # Unplugged while we wrote.
                return


@contextlib.contextmanager
def listening(microphone, *arguments, module="runtime.listen", cwd=None, **options):
    """Start `python -m MODULE ARGUMENTS` with the virtual microphone as its device; yield the process.

    It is killed at the end if it still runs.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**microphone.environment, "PYTHONUNBUFFERED": "1"},
        cwd=cwd or Path(__file__).resolve().parents[2],
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
