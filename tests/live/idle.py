"""What an idle microphone costs: processor time of lottery-listen while nobody speaks, with and without --gate.

    python -m tests.live.idle bundles/an4 --seconds 60

A virtual microphone hears a quiet room. Prints JSON; percentages are of one core.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from tests.live.virtual_microphone import VirtualMicrophone, listening, missing

RATE = 48000
ROOM_DBFS = -62.0
GATES = {
    "idle_cpu_percent": ("--gate",),
    "idle_cpu_percent_silero": ("--gate", "silero"),
    "idle_cpu_percent_without_gate": (),
}
# Imports, the load of the model, and a gate that begins open.
_SETTLE_S = 6.0


def idle_cpu_percent(bundle, *, seconds, options=()):
    """Return the processor time of lottery-listen in a quiet room, per cent of one core, all of its threads.

    Args:
        bundle: path of a bundle directory.
        seconds: to measure, after the first six.
        options: of lottery-listen, such as ("--gate",).
    """
    rng = np.random.default_rng(0)
    room = 10 ** (ROOM_DBFS / 20) * rng.normal(size=10 * RATE)
    with VirtualMicrophone(sample_rate_hz=RATE) as microphone:
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
        name: round(idle_cpu_percent(arguments.bundle, seconds=arguments.seconds, options=options), 3)
        for name, options in GATES.items()
    }
    print(json.dumps({**figures, "seconds": arguments.seconds, "sample_rate_hz": RATE}, indent=2))


if __name__ == "__main__":
    main()
