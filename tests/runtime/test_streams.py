"""Closed and full streams, encodings that cannot spell a name, libraries that print."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import streams

HEAD = """
import ctypes, os, sys, threading
from runtime.command import run_command
from runtime.streams import quiet_libraries
"""


def run(body, *arguments, redirection="", environment=None, **options):
    """Run `def main(argv): <body>` as a command, with its streams redirected as in a shell; return CompletedProcess."""
    lines = "\n    ".join(body.strip().splitlines())
    program = f"{HEAD}\ndef main(argv):\n    {lines}\nsys.exit(run_command(main))"
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" "$2" {redirection}', sys.executable, program, *arguments],
        env=os.environ | {"PYTHONPATH": os.getcwd()} | (environment or {}),
        **{"capture_output": True} | options,
    )


def test_what_is_printed_on_closed_streams_lands_in_no_file(tmp_path):
    body = f"""
with open({str(tmp_path / "file")!r}, "w") as file:
    print("progress", file=sys.stderr, flush=True)
    print("result")
    print(file.fileno(), file=file)
"""
    done = run(body, redirection=">&-")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[:2] == ["progress", "error: cannot write: stdout is closed"]
    assert int((tmp_path / "file").read_text()) > 2
    done = run(body, redirection="2>&- <&-")
    assert (done.returncode, done.stdout) == (0, b"result\n")
    assert int((tmp_path / "file").read_text()) > 2
    assert run(body, redirection=">&- 2>&- <&-").returncode == 2


def test_a_command_without_results_does_not_mind_that_stdout_is_closed():
    done = run("print('wrote x', file=sys.stderr)", redirection=">&-")
    assert (done.returncode, done.stderr) == (0, b"wrote x\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_messages_that_cannot_be_written_do_not_end_the_work(unbuffered):
    body = "print('progress', file=sys.stderr, flush=True); print('result')"
    done = run(body, redirection="2>/dev/full", environment={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stdout) == (0, b"result\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_went_away_is_no_error(stream):
    unread, written = os.pipe()
    os.close(unread)
    body = "import argparse\nprint('x', file=sys.stderr)\nargparse.ArgumentParser().parse_args(argv)"
    with os.fdopen(written, "wb") as pipe:
        done = run(
            body,
            "--help",
            capture_output=False,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: pipe},
        )
    assert done.returncode == 0
    assert done.stderr in (b"x\n", None)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "ä→".encode() + b"\xff\n"),
        ("ascii", b"\\xe4\\u2192\xff\n"),
        ("cp1252", b"\xe4\\u2192\xff\n"),
        ("ascii:replace", b"???\n"),
    ],
)
def test_any_text_can_be_printed_in_any_encoding(encoding, expected):
    done = run("print('ä→\\udcff')", environment={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


CHATTER = """
libc = ctypes.CDLL(None)
def chat():
    libc.printf(b"buffered chatter\\n")
    os.write(1, b"chatter ")
    os.write(2, b"chatter ")
with quiet_libraries(), quiet_libraries():
    chat()
    for stream in (sys.stdout, sys.stderr):
        thread = threading.Thread(target=print, args=("thread",), kwargs={"file": stream, "flush": True})
        thread.start()
        thread.join()
print("done", flush=True)
os.write(1, b"loud")
"""


def test_a_command_hides_what_libraries_print_and_nothing_else():
    # Unset, the C library keeps what it prints until the end.
    done = run(CHATTER, environment={"PYTHONUNBUFFERED": ""})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"thread\ndone\nloud", b"thread\n")


def test_debug_shows_what_libraries_print():
    done = run(CHATTER, "--debug")
    assert b"chatter thread\ndone\nloud" in done.stdout
    assert b"buffered chatter\n" in done.stdout
    assert done.stderr == b"chatter thread\n"


def test_outside_a_command_nothing_is_hidden(capfd):
    with streams.quiet_libraries():
        os.write(1, b"another thread's")
    assert capfd.readouterr().out == "another thread's"


def test_streams_that_a_program_put_in_place_stay_its_own(capsys):
    stdout, stderr = sys.stdout, sys.stderr
    with streams.standard_streams():
        assert sys.stdout is stdout
        print("result")
        print("message\udcff", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    assert capsys.readouterr() == ("result\n", "message\\udcff\n")
