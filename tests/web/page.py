"""The page in a browser, as a program sees it: what a visitor does, and what the page then knows."""

import base64
import contextlib
import threading
import time
from pathlib import Path

import numpy as np

from runtime.word_errors import word_errors
from tests.web.chromium import BrowserError

# Modules are singletons: this is the page's own instance.
_APP = "import('./static/app.js').then(({app}) => %s)"
_LOAD_S = 60.0


class Page:
    """The open page.

    Args:
        browser: Chromium.
        url: the page's address.
    """

    def __init__(self, browser, url):
        self.browser, self.url = browser, url

    def open(self):
        """Load the page and wait for the model; return what the page knows, {"phase": "failed"} among it or "ready"."""
        self.browser.open(self.url)
        # A page that has gone leaves its last script without an answer.
        self.browser.wait_for("document.readyState === 'complete'", timeout_s=_LOAD_S)
        return self.wait_while("loading")

    def wait_while(self, *phases, timeout_s=_LOAD_S):
        """Wait until the page is in none of these phases; return what it knows."""
        condition = " && ".join(f"app.phase !== '{phase}'" for phase in phases)
        self.browser.wait_for(_APP % condition, timeout_s=timeout_s)
        return self.app()

    def app(self):
        """Return what the page knows, its recording apart."""
        return self.browser.evaluate(_APP % "({...app, recording: null})")

    def click(self, identifier):
        """Press a button."""
        self.browser.evaluate(f"document.getElementById('{identifier}').click()")

    def choose(self, identifier, value):
        """Choose another model or number of threads; return what the page knows once it is loaded."""
        self.browser.evaluate(
            f"(() => {{ const box = document.getElementById('{identifier}'); box.value = '{value}'; "
            "box.dispatchEvent(new Event('change')); })()"
        )
        return self.wait_while("loading")

    def text(self, identifier):
        """Return the text that an element shows."""
        return self.browser.evaluate(f"document.getElementById('{identifier}').innerText")

    def start_listening(self):
        """Press Start; return what the page knows once it listens, or does not."""
        self.click("listen")
        return self.wait_while("busy")

    def stop_listening(self):
        """Press Stop; return what the page knows once the last words are there."""
        self.click("listen")
        return self.wait_while("listening", "stopping")

    def hear(self, duration_s):
        """Listen for so long; return the lines, the symbol ids of all of them, the figures, and the samples heard."""
        heard = self.start_listening()
        if heard["phase"] != "listening":
            raise BrowserError(f"the page does not listen: {heard['error']}; {self.browser.messages()}")
        time.sleep(duration_s)
        heard = self.stop_listening()
        samples, rate = self.browser.evaluate(_APP % "[Array.from(app.recording.samples), app.recording.sampleRateHz]")
        return {
            "lines": heard["lines"],
            "ids": [index for line in heard["lines"] for index in line["ids"]],
            "figures": heard["figures"],
            "samples": np.array(samples, np.float32),
            "sample_rate_hz": rate,
        }

    def transcribe(self, paths, *, timeout_s=600.0, is_dropped=False):
        """Give the page sound files; return its [{"name", "result" or "error"}], in order."""
        paths = [Path(path).resolve() for path in paths]
        before = len(self.app()["files"])
        if is_dropped:
            self.browser.drop_files("#drop", paths)
        else:
            self.browser.choose_files("#files", paths)
        self.browser.wait_for(_APP % f"app.files.length === {before + len(paths)}", timeout_s=timeout_s)
        return self.wait_while("busy", timeout_s=timeout_s)["files"][before:]

    def decode(self, path):
        """Return (samples, rate) of a sound file as the browser decodes it for the page."""
        content = base64.b64encode(Path(path).read_bytes()).decode()
        samples, rate = self.browser.evaluate(
            "import('./static/audiofile.js').then(async ({decodeFile}) => { const bytes = Uint8Array.from(atob('"
            + content
            + "'), (letter) => letter.charCodeAt(0)); const {samples, sampleRateHz} = await decodeFile(new "
            "File([bytes], 'sound')); return [Array.from(samples), sampleRateHz]; })"
        )
        return np.array(samples, np.float32), rate

    def benchmark(self, *, timeout_s=120.0):
        """Press the benchmark's button; return its JSON."""
        self.click("bench")
        return self.wait_while("busy", timeout_s=timeout_s)["benchmark"]


def token_differences(first, second):
    """Return the least number of substituted, deleted and inserted symbols between two sequences of ids."""
    return word_errors(*(" ".join(map(str, ids)) for ids in (first, second)))


def delay(samples, *, like):
    """Return `samples` moved to where they fit best in `like`, at its length."""
    size = 1 << (len(samples) + len(like)).bit_length()
    fit = np.fft.irfft(np.fft.rfft(like, size) * np.conj(np.fft.rfft(samples, size)), size)
    lag = int(fit.argmax())
    lag -= size if lag > size // 2 else 0
    moved = np.zeros(len(like), np.float32)
    begin, end = max(0, lag), min(len(like), lag + len(samples))
    moved[begin:end] = samples[begin - lag : end - lag]
    return moved


@contextlib.contextmanager
def running(server):
    """Serve in a thread while the block lasts; yield the server."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
