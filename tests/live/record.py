"""Record from a device through runtime.Microphone, to a file: `python -m tests.live.record DEVICE RATE SAMPLES FILE`.

Says `ready` once the stream is open. Ends when SAMPLES samples were heard, counted from the first that is not zero.
"""

import sys

import numpy as np

from runtime.microphone import Microphone


def main():
    device, rate, num_samples, path = sys.argv[1:]
    heard, num_left = [], int(num_samples)
    with Microphone(device, sample_rate_hz=int(rate) or None) as microphone:
        print("ready", flush=True)
        for block in microphone.blocks():
            if not heard:
                block = np.trim_zeros(block, "f")
            if len(block):
                heard.append(block[:num_left])
                num_left -= len(heard[-1])
            if num_left == 0:
                break
        print(microphone.num_overflows, microphone.dropped_s, microphone.sample_rate_hz, flush=True)
    np.save(path, np.concatenate(heard))


if __name__ == "__main__":
    main()
