"""Exit statuses and where messages go."""

import os
import subprocess
import sys

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


def test_a_missing_extra_names_the_pip_line():
    with pytest.raises(MissingExtraError, match="no_such_package") as caught:
        require_extra("no_such_package", extra="mic")
    assert caught.value.hint == 'pip install "lottery-asr[mic]"'
