"""Exit statuses and where messages go."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.command import run_command
from runtime.errors import LotteryError, MissingExtraError, require_extra


def fail(argv):
    raise LotteryError("bundle/x: broken", hint="export it again")


def test_results_and_status():
    assert run_command(lambda argv: None, []) == 0
    assert run_command(lambda argv: 3, []) == 3
    assert run_command(lambda argv: argv.index("b"), ["a", "b"]) == 1


def test_an_error_prints_error_and_hint_and_exits_2(capsys):
    assert run_command(fail, []) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: bundle/x: broken\nhint: export it again\n"


def test_debug_shows_the_traceback():
    with pytest.raises(LotteryError):
        run_command(fail, ["--debug"])


def test_any_other_exception_is_a_bug_told_in_one_line(capsys):
    def main(argv):
        raise KeyError("first\nsecond" + "x" * 500)

    assert run_command(main, []) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(r"error: this is a bug: KeyError: 'first\nsecondxxx")
    assert len(first) < 250
    assert second.startswith("hint: --debug")
    with pytest.raises(KeyError):
        run_command(main, ["--debug"])


def test_debug_behind_two_dashes_is_an_argument():
    seen = []
    assert run_command(seen.extend, ["--debug", "a", "--", "--debug"]) == 0
    assert seen == ["a", "--", "--debug"]


def test_interrupt_exits_130(capsys):
    def interrupt(argv):
        raise KeyboardInterrupt

    assert run_command(interrupt, []) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_is_quiet():
    program = (
        "from runtime.command import run_command; import sys\n"
        "def main(argv):\n    while True: print('x' * 100)\nsys.exit(run_command(main, []))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


def run_on_full_disk(body, *arguments, is_stderr_full=False, is_buffered=True):
    """Run `def main(argv): <body>` as a command whose stdout is a full disk; return (status, stderr)."""
    program = (
        "import sys\nfrom runtime.command import run_command\nfrom runtime.errors import LotteryError\n"
        f"def main(argv):\n    {body}\nsys.exit(run_command(main))"
    )
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdout=full,
            stderr=full if is_stderr_full else subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "" if is_buffered else "1"},
        )
    return done.returncode, done.stderr


@needs_full_disk
@pytest.mark.parametrize("is_buffered", [False, True])
@pytest.mark.parametrize("body", ["print('x')", "print('x' * 100_000)", "print('x', flush=True)"])
def test_a_full_disk_behind_stdout_is_one_error(body, is_buffered):
    status, err = run_on_full_disk(body, is_buffered=is_buffered)
    assert err.splitlines() == [
        "error: cannot write: No space left on device",
        "hint: free some disk space, or choose another output directory",
    ]
    assert status == 2


@needs_full_disk
def test_the_help_meets_a_full_disk_too():
    status, err = run_on_full_disk("import argparse; argparse.ArgumentParser().parse_args(argv)", "--help")
    assert (status, len(err.splitlines())) == (2, 2)


@needs_full_disk
def test_a_full_disk_does_not_hide_an_earlier_error():
    status, err = run_on_full_disk("print('x'); raise LotteryError('bundle/x: broken')")
    assert status == 2
    assert err.startswith("error: bundle/x: broken\n")
    assert "Traceback" not in err


@needs_full_disk
def test_a_full_disk_behind_both_streams_leaves_the_status():
    assert run_on_full_disk("print('x')", is_stderr_full=True)[0] == 2


@needs_full_disk
def test_debug_shows_where_the_disk_was_full():
    status, err = run_on_full_disk("print('x' * 100_000)", "--debug")
    assert status == 1
    assert err.startswith("Traceback")
    assert err.endswith("OSError: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied", "check the permissions"),
        (OSError("libfoo.so: cannot open"), "libfoo.so: cannot open", "--debug"),
        (MemoryError(), "not enough memory", "close other programs"),
    ],
)
def test_an_error_of_the_system_prints_error_and_hint_and_exits_2(capsys, error, message, hint):
    def main(argv):
        raise error

    assert run_command(main, []) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: {message}"
    assert second.startswith(f"hint: {hint}")
    with pytest.raises(type(error)):
        run_command(main, ["--debug"])


def test_results_are_flushed_before_the_status_is_known(monkeypatch):
    flushed = []
    monkeypatch.setattr(sys.stdout, "flush", lambda: flushed.append(1))
    assert run_command(lambda argv: 0, []) == 0
    assert flushed


def test_a_missing_extra_names_the_pip_line():
    with pytest.raises(MissingExtraError, match="no_such_package") as caught:
        require_extra("no_such_package", extra="mic")
    assert caught.value.hint == 'pip install "lottery-asr[mic]"'
