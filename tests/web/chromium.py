"""Headless Chromium, driven over the DevTools protocol through a pair of pipes: no driver program, no WebSocket.

Source: chromedevtools.github.io/devtools-protocol; --remote-debugging-pipe reads commands on descriptor 3 and writes
answers on 4, JSON with a zero byte at the end.
"""

import base64
import collections
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)
_FAKE_DEVICE, _FAKE_PERMISSION = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
_START_S = 30.0
_END_S = 10.0


class BrowserError(Exception):
    """Chromium ended, did not answer in time, or a script threw."""


def find_chromium():
    """Return the path of the browser, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """A browser with one page; a context manager.

    Args:
        microphone: WAV file that plays once as the microphone, None for one that beeps; the page may use it unasked.
        has_permission: whether a page that asks for the microphone gets it.
        rules: where host names lead, as --host-resolver-rules takes them: "MAP phone.test 127.0.0.1".
    """

    def __init__(self, *, microphone=None, has_permission=True, rules=None):
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        flags = [*_FLAGS, f"--user-data-dir={self._folder.name}", "--window-size=1280,900", _FAKE_DEVICE]
        if has_permission:
            flags.append(_FAKE_PERMISSION)
        if rules is not None:
            flags.append(f"--host-resolver-rules={rules}")
        if microphone is not None:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()
        # Above 4, so that none of them is in the way of another.
        given = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (command_read, answer_write)]
        null = os.open(os.devnull, os.O_RDWR)
        moves = [(os.POSIX_SPAWN_DUP2, null, standard) for standard in (0, 1, 2)]
        moves += [(os.POSIX_SPAWN_DUP2, descriptor, number) for descriptor, number in zip(given, (3, 4), strict=True)]
        program = find_chromium()
        # A group of its own, so that its helpers end with it.
        self._pid = os.posix_spawn(
            program, [program, *flags, "about:blank"], os.environ, file_actions=moves, setpgroup=0
        )
        for descriptor in (command_read, answer_write, null, *given):
            os.close(descriptor)
        self._buffer, self._next_id, self._events = b"", 0, collections.deque(maxlen=1000)
        self._session = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        """Take the browser's only page."""
        deadline = time.monotonic() + _START_S
        while not (pages := [info for info in self.call("Target.getTargets")["targetInfos"] if info["type"] == "page"]):
            if time.monotonic() > deadline:
                raise BrowserError("Chromium has no page")
            time.sleep(0.02)
        attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")
        # A window without a screen never has the focus, which the clipboard asks for.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the browser and every process of it."""
        if self._pid is None:
            return
        os.close(self._commands)
        os.close(self._answers)
        deadline = time.monotonic() + _END_S
        # It ends when its pipe does; by force where it does not.
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(0.02)
        self._pid = None
        self._folder.cleanup()

    def call(self, method, *, timeout_s=60.0, **parameters):
        """Send a command and return its result.

        Raises:
            BrowserError: the browser refuses it, has ended, or is silent for `timeout_s`.
        """
        self._next_id += 1
        message = {"id": self._next_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._read(deadline, waiting_for=method)
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self._events.append(answer)

    def open(self, url):
        """Go to an address; the page's scripts may still be running."""
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")

    def before_scripts(self, script):
        """Run JavaScript in every page that is opened from now on, before its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def evaluate(self, script, *, timeout_s=60.0):
        """Return the JSON value of a JavaScript expression; a promise is waited for.

        Raises:
            BrowserError: it throws.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            timeout_s=timeout_s,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(f"{script}: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def wait_for(self, script, *, timeout_s=60.0):
        """Evaluate again and again until the value is true; return it."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                raise BrowserError(f"not in {timeout_s} s: {script}; the page said {self.messages()}")
            time.sleep(0.05)
        return value

    def choose_files(self, selector, paths):
        """Choose files in an <input type="file">."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[os.fspath(path) for path in paths], nodeId=node)

    def drop_files(self, selector, paths):
        """Drag files over an element and drop them, as a hand does."""
        box = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}); box.scrollIntoView(); "
            "const {x, y, width, height} = box.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()"
        )
        data = {"items": [], "files": [os.fspath(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    def screenshot(self, path, *, is_whole_page=True):
        """Write the page as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole_page)
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))

    def look_like(self, *, width, height, is_phone=False, scheme="light"):
        """Take the size, and the colour scheme, of another device."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def messages(self):
        """Return what the page wrote to its console and what the browser complained of, so far."""
        self.call("Runtime.evaluate", expression="0")
        texts = []
        for event in self._events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.consoleAPICalled":
                texts.append(" ".join(str(argument.get("value")) for argument in parameters["args"]))
            elif event.get("method") == "Log.entryAdded":
                texts.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif event.get("method") == "Runtime.exceptionThrown":
                texts.append(str(parameters["exceptionDetails"].get("exception", {}).get("description")))
        return texts

    def _write(self, data):
        try:
            while data:
                data = data[os.write(self._commands, data) :]
        except BrokenPipeError as error:
            raise BrowserError("Chromium has ended") from error

    def _read(self, deadline, *, waiting_for):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError(f"{waiting_for}: no answer in time")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise BrowserError(f"{waiting_for}: Chromium has ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
