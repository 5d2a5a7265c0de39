"""What an idle microphone costs: processor time of lottery-listen while nobody speaks, with and without --gate.

    python -m tests.live.idle bundles/an4 --seconds 60

A virtual microphone hears a quiet room. Prints JSON; percentages are of one core.

A program is woken for every fragment of audio, and says how long those shall be: PulseAudio has its devices deliver
what was asked for, here PortAudio's block (its null sink does: 11 wake-ups a second for blocks of 100 ms). The pipe
source of the virtual microphone cannot: it passes on whatever is written to it. So what was asked for is written; the
same room once more in fragments of 10 ms shows what wake-ups cost.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from runtime.listen import GATE_BLOCK_S
from runtime.source import BLOCK_S
from tests.live.virtual_microphone import FRAGMENT_S, VirtualMicrophone, listening, missing

RATE = 48000
ROOM_DBFS = -62.0
# Arguments of idle_cpu_percent.
ROOMS = {
    "idle_cpu_percent": {"options": ("--gate",)},
    "idle_cpu_percent_10_ms": {"options": ("--gate",), "fragment_s": FRAGMENT_S},
    "idle_cpu_percent_silero": {"options": ("--gate", "silero")},
    "idle_cpu_percent_without_gate": {"options": ()},
}
# Imports, the load of the model, and a gate that begins open.
_SETTLE_S = 6.0


def idle_cpu_percent(bundle, *, seconds, options=(), fragment_s=None):
    """Return the processor time of lottery-listen in a quiet room, per cent of one core, all of its threads.

    Args:
        bundle: path of a bundle directory.
        seconds: to measure, after the first six.
        options: of lottery-listen, such as ("--gate",).
        fragment_s: seconds of audio that the sound server hands over at once; None is what lottery-listen asks for.
    """
    if fragment_s is None:
        fragment_s = GATE_BLOCK_S if "--gate" in options else BLOCK_S
    rng = np.random.default_rng(0)
    room = 10 ** (ROOM_DBFS / 20) * rng.normal(size=10 * RATE)
    with VirtualMicrophone(sample_rate_hz=RATE, fragment_s=fragment_s) as microphone:
        arguments = [bundle, "--device", microphone.device, "--rate", RATE, "--jsonl", *options]
        with listening(microphone, *arguments) as process:
            process.stdout.readline()
            microphone.play(room, repeats=int((seconds + 2 * _SETTLE_S) / 10) + 1)
            time.sleep(_SETTLE_S)
            begin, begin_s = _cpu_s(process.pid), time.monotonic()
            time.sleep(seconds)
            return 100 * (_cpu_s(process.pid) - begin) / (time.monotonic() - begin_s)


def _cpu_s(process_id):
    # utime and stime stand behind the name, which may hold spaces.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.live.idle", description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--seconds", type=float, default=60.0, help="to measure each (default: %(default)s)")
    arguments = parser.parse_args()
    if missing():
        parser.error(missing())
    figures = {
        name: round(idle_cpu_percent(arguments.bundle, seconds=arguments.seconds, **room), 3)
        for name, room in ROOMS.items()
    }
    print(json.dumps({**figures, "seconds": arguments.seconds, "sample_rate_hz": RATE}, indent=2))


if __name__ == "__main__":
    main()
