"""Running experiments: those that fail stop nobody, those that are killed go on, those that are finished are left."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.claims.registry import experiments
from benchmarks.claims.runner import Runner, epochs_left, make_tasks, minutes_left, state
from benchmarks.claims.scores import Reader
from lottery_train.ticket import is_ticket
from tests.benchmarks.claims.runs import SMALL, write_ticket

# Writes the tickets that a command would, and a line for every start.
_WRITER = """\
import pathlib, sys
log, *tickets = sys.argv[1:]
with open(log, "a") as file:
    file.write(tickets[0] + "\\n")
for ticket in tickets:
    folder = pathlib.Path(ticket)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ticket.json").write_text("{}")
"""


def chosen(*names):
    known = experiments(SMALL)
    return [known[name] for name in names]


def writer(bench, log, *, failing=()):
    """Return a command for every task: one that writes its tickets, or fails."""

    def command(task):
        if task.experiment.name in failing:
            return [sys.executable, "-c", "import sys; print('it broke'); sys.exit(3)"]
        tickets = map(str, bench.tickets(task.experiment, seed=task.seed))
        return [sys.executable, "-c", _WRITER, str(log), *tickets]

    return command


def test_dependencies_come_first_and_nothing_is_done_twice(bench, tmp_path):
    tasks = make_tasks(bench, chosen("block1x4", "conformer_controls", "conformer"))
    log = tmp_path / "starts"
    assert Runner(bench, workers=2, command=writer(bench, log)).run(tasks) == {}
    starts = log.read_text().splitlines()
    assert starts[0].endswith("conformer/level_00")
    assert len(starts) == 3
    assert all(state(bench, task) == "finished" for task in tasks)
    assert Runner(bench, workers=2, command=writer(bench, log)).run(tasks) == {}
    assert log.read_text().splitlines() == starts


def test_a_failing_experiment_is_told_and_stops_only_what_needs_it(bench, tmp_path, capfd):
    tasks = make_tasks(bench, chosen("conformer", "block1x4", "cnn_lstm"))
    unfinished = Runner(bench, workers=1, command=writer(bench, tmp_path / "starts", failing=["conformer"])).run(tasks)
    assert {task.experiment.name: why for task, why in unfinished.items()} == {
        "conformer": "ended with status 3 and is not finished; see its log",
        "block1x4": "waits for conformer/level_00",
    }
    assert is_ticket(bench.runs / "cnn_lstm" / "level_02")
    assert (bench.runs / "conformer.log").read_text() == "it broke\n"
    assert "conformer: ended with status 3" in capfd.readouterr().err


def test_success_without_tickets_is_no_success(bench):
    tasks = make_tasks(bench, chosen("cnn_lstm"))
    (why,) = Runner(bench, workers=1, command=lambda task: [sys.executable, "-c", ""]).run(tasks).values()
    assert why == "ended with status 0 and is not finished; see its log"


def test_tickets_decide_even_where_the_command_failed_afterwards(bench, tmp_path, capfd):
    """A page that could not be drawn takes nothing from trainings that finished."""
    tasks = make_tasks(bench, chosen("cnn_lstm"))
    write = writer(bench, tmp_path / "starts")

    def command(task):
        python, flag, script, *arguments = write(task)
        return [python, flag, f"{script}sys.exit(1)\n", *arguments]

    assert Runner(bench, workers=1, command=command).run(tasks) == {}
    assert "cnn_lstm: finished, though its command ended with status 1; see its log" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"data": {"corpus": 3}}'])
def test_a_run_whose_settings_cannot_be_read_is_left_alone_and_gives_no_number(bench, tmp_path, text):
    (experiment,) = chosen("conformer")
    for level in range(3):
        write_ticket(bench, experiment, f"level_{level:02d}", test=(0,) * 5)
    assert Reader(bench, experiments(SMALL)).seeds("conformer") == [0]
    (bench.runs / "conformer" / "config.json").write_text(text)
    assert Reader(bench, experiments(SMALL)).seeds("conformer") == []
    tasks = make_tasks(bench, chosen("conformer", "cnn_lstm"))
    unfinished = Runner(bench, workers=1, command=writer(bench, tmp_path / "starts")).run(tasks)
    assert list(unfinished.values()) == ["its folder holds a run with other settings"]


def test_a_run_with_other_settings_is_left_alone(bench, tmp_path):
    (experiment,) = chosen("conformer")
    write_ticket(bench, experiment, "level_00", test=(0,) * 5)
    path = bench.runs / "conformer" / "config.json"
    path.write_text(path.read_text().replace('"epochs": 10', '"epochs": 11'))
    unfinished = Runner(bench, workers=1, command=writer(bench, tmp_path / "starts")).run(
        make_tasks(bench, [experiment])
    )
    assert list(unfinished.values()) == ["its folder holds a run with other settings"]
    assert not (tmp_path / "starts").exists()


def test_a_folder_that_another_program_works_in_is_waited_for(bench, tmp_path):
    """The lock belongs to the training, not to the suite: it holds where the suite alone was killed."""
    pytest.importorskip("fcntl", reason="this system has no flock")
    tasks = make_tasks(bench, chosen("conformer"))
    bench.runs.mkdir()
    hold = (
        "import fcntl, sys, time\nfile = open(sys.argv[1], 'ab')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\ntime.sleep(2)"
    )
    command = [sys.executable, "-c", hold, str(bench.runs / "conformer.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert Runner(bench, workers=1, command=writer(bench, tmp_path / "starts")).run(tasks) == {}
        assert other.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_suite_ends_its_trainings(bench, monkeypatch, number):
    tasks = make_tasks(bench, chosen("conformer"))
    runner = Runner(bench, workers=1, command=lambda task: [sys.executable, "-c", "import time; time.sleep(60)"])
    started, before = [], signal.getsignal(signal.SIGTERM)

    def interrupt(seconds):
        started.extend(runner._running.values())
        # Without a handler the signal would end the tests themselves.
        assert callable(signal.getsignal(number))
        signal.raise_signal(number)

    monkeypatch.setattr("benchmarks.claims.runner.time", SimpleNamespace(sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        runner.run(tasks)
    assert [process.poll() is not None for process in started] == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_forecast_counts_tickets_and_what_a_training_has_done(bench):
    (experiment,) = chosen("conformer")
    (task,) = make_tasks(bench, [experiment])
    assert epochs_left(bench, task) == 10 + 5 + 5
    write_ticket(bench, experiment, "level_00", test=(0,) * 5)
    lines = '{"level": "level_01", "step": 3, "epoch": 2, "audio_s_per_s": 60.0}\n'
    (bench.runs / "conformer" / "metrics.jsonl").write_text(lines)
    assert epochs_left(bench, task) == 3 + 5
    bench.data_dir.joinpath("an4").mkdir(parents=True)
    (bench.data_dir / "an4" / "train.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 90, "text": "a"}\n')
    per_epoch = 90 * (1 / 0.9 + 1 + 1 / 1.1) / 3
    assert minutes_left(bench, task) == pytest.approx(8 * per_epoch / 60 / 60)
