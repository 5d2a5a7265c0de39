"""Running experiments: several at once, in order of priority, each when what it needs is there; killed ones go on."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from tqdm import tqdm

from benchmarks.results import CHECKOUT
from lottery_train.metrics import read_metrics
from lottery_train.ticket import is_ticket

# Seconds of audio that one core trains on a second, until a run says more.
DEFAULT_SPEED = 210.0
_PAUSE_S = 0.5
_STOP_S = 20.0


@dataclass(frozen=True)
class Task:
    """An experiment with one seed."""

    experiment: object
    seed: int

    def __str__(self):
        return f"{self.experiment.name} (seed {self.seed})" if self.seed else self.experiment.name


def make_tasks(bench, experiments):
    """Return the Tasks of some experiments, all of the first seed before those of the next."""
    return [Task(experiment, seed) for seed in bench.seeds for experiment in experiments]


def state(bench, task):
    """Return how far a task is, from its tickets alone: finished, ready, or what it waits for."""
    where = {"seed": task.seed}
    if bench.has_other_settings(task.experiment, **where):
        return "other settings"
    if bench.is_finished(task.experiment, **where):
        return "finished"
    missing = [path for path in bench.requirements(task.experiment, **where) if not is_ticket(path)]
    return f"waits for {missing[0].parent.name}/{missing[0].name}" if missing else "ready"


def epochs_left(bench, task):
    """Return the epochs that a task still has to train; what a training in progress has done counts."""
    folder = bench.folder(task.experiment.folder, seed=task.seed)
    tickets = bench.tickets(task.experiment, seed=task.seed)
    path = folder / "metrics.jsonl"
    lines = read_metrics(path) if path.exists() else []
    done = {line["level"]: line["epoch"] for line in lines if "epoch" in line}
    left = 0
    for ticket, epochs in tickets.items():
        if not is_ticket(ticket):
            left += max(0, epochs - done.get(str(ticket.relative_to(folder)), 0))
    return left


def minutes_left(bench, task):
    """Return the minutes that one core still needs for a task."""
    left = epochs_left(bench, task)
    return left and left * bench.audio_s(task.experiment, seed=task.seed) / measured_speed(bench, task) / 60


def measured_speed(bench, task):
    """Return the seconds of audio a second that a task's run trained at last, or DEFAULT_SPEED."""
    path = bench.folder(task.experiment.folder, seed=task.seed) / "metrics.jsonl"
    speeds = [
        line["audio_s_per_s"] for line in (read_metrics(path) if path.exists() else []) if line.get("audio_s_per_s")
    ]
    return speeds[-1] if speeds else DEFAULT_SPEED


class Runner:
    """Runs tasks until all are finished, failed, or wait for what will not come.

    Args:
        bench: Bench.
        workers: experiments at once.
        command: Task -> list of text; the default is lottery-train.
    """

    def __init__(self, bench, *, workers, command=None):
        self.bench, self.workers = bench, workers
        self._command = command or (lambda task: bench.command(task.experiment, seed=task.seed))
        self._running = {}  # Task -> Popen

    def run(self, tasks):
        """Run tasks in the order given.

        Returns:
            Task -> why it is not finished; empty where all are.
        """
        failed, waiting = {}, []
        for task in tasks:
            found = state(self.bench, task)
            if found == "other settings":
                failed[task] = "its folder holds a run with other settings"
            elif found != "finished":
                waiting.append(task)
        minutes = {task: minutes_left(self.bench, task) for task in waiting}
        bar = tqdm(
            total=round(sum(minutes.values()), 1), unit="core-min", file=sys.stderr, disable=not sys.stderr.isatty(),
            bar_format="{desc} {bar} {n:.1f}/{total:.1f} core-minutes, {elapsed} gone, {remaining} left",
        )  # fmt: skip
        with _interrupted_by_sigterm():
            try:
                while waiting or self._running:
                    self._collect(failed)
                    busy = self._start(waiting)
                    if not self._running and not busy:
                        break  # what is left waits for an experiment that failed or was not asked for
                    self._show(bar, minutes)
                    time.sleep(_PAUSE_S)
            finally:
                self._stop()
                bar.close()
        failed |= {task: state(self.bench, task) for task in waiting}
        return failed

    def _start(self, waiting):
        """Start what can be started; return whether another program holds a folder that is waited for."""
        is_held = False
        folders = {(task.experiment.folder, task.seed) for task in self._running}
        for task in list(waiting):
            if len(self._running) >= self.workers:
                break
            where = (task.experiment.folder, task.seed)
            found = state(self.bench, task)
            if found == "finished":
                waiting.remove(task)
            elif found == "ready" and where not in folders:
                process = self._open(task)
                if process is None:
                    is_held = True
                    continue
                self._running[task] = process
                folders.add(where)
                waiting.remove(task)
        return is_held

    def _open(self, task):
        """Start one experiment; None where another program holds its folder."""
        path = self.bench.folder(task.experiment.folder, seed=task.seed)
        path = path.with_name(f"{path.name}.log")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as log:
            if not _lock(log):
                return None
            command = self._command(task)
            _say(f"{task}: started, log in {path}")
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            # The experiment inherits the lock: it holds as long as the process lives, even where the suite is killed.
            return subprocess.Popen(
                command, cwd=CHECKOUT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )

    def _collect(self, failed):
        for task, process in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[task]
            found = state(self.bench, task)
            if found == "finished":
                # Its tickets decide: a page that could not be drawn afterwards takes nothing from them.
                more = f", though its command ended with status {process.returncode}; see its log"
                _say(f"{task}: finished{more if process.returncode else ''}")
            else:
                failed[task] = f"ended with status {process.returncode} and is not finished; see its log"
                _say(f"{task}: {failed[task]}")

    def _show(self, bar, minutes):
        if bar.disable:
            return
        left = sum(minutes_left(self.bench, task) for task in minutes)
        bar.set_description_str(", ".join(map(str, self._running)))
        bar.n = max(0.0, round(bar.total - left, 1))
        bar.refresh()

    def _stop(self):
        """End what this suite started; the trainings keep their checkpoints."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = {}


@contextlib.contextmanager
def _interrupted_by_sigterm():
    """Let SIGTERM do what Ctrl-C does: by itself it would end the suite and leave its trainings behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number, frame):
        # A second one must not tear the end of the trainings apart.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _lock(file):
    """Take the lock of an open file, unless another program has it; without flock (Windows) there is none."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _say(text):
    tqdm.write(text, file=sys.stderr)
