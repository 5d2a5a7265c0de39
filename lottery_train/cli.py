"""lottery-train: from a corpus to tickets."""

import argparse
import contextlib
import os
import sys
from pathlib import Path

from lottery_train.arguments import build_parser, controls_from, settings_from
from lottery_train.config import CONTROLS, unfit_control
from lottery_train.corpora import IMPORTERS, find_mix, import_corpus
from lottery_train.errors import ConfigError
from lottery_train.lock import lock_run
from lottery_train.processes import check_processes
from lottery_train.run_directory import clear_run
from lottery_train.tokenization import vocabulary_size
from runtime.command import run_command
from runtime.errors import require_extra
from runtime.events import unicode_name
from runtime.files import explain_os_errors

# Imported late by what uses them, so that a missing one would end a run after its training.
_LATE_PACKAGES = ("jiwer", "matplotlib", "safetensors", "tensorboard")


def _import(argv):
    parser = argparse.ArgumentParser(prog="lottery-train import", description="Write manifests for a corpus.")
    parser.add_argument("name", metavar="NAME", help=", ".join(sorted(IMPORTERS)))
    parser.add_argument("source", type=Path, help="the corpus in its official layout")
    parser.add_argument("out", type=Path, help="where the manifests go")
    arguments = parser.parse_args(argv)
    corpus = import_corpus(arguments.name, source_dir=arguments.source, out_dir=arguments.out)
    for split, path in corpus.splits.items():
        print(f"{split}\t{path}")
    if corpus.skipped:
        listed = arguments.out / "skipped.txt"
        print(f"{len(corpus.skipped)} utterances skipped, all in {listed}: {corpus.skipped[0]}", file=sys.stderr)


def _print_forecast(outlook, *, search, epochs, vocabulary):
    print(
        f"{outlook.num_weights} weights, {outlook.num_kept[0]} prunable ({search.scope}); "
        f"{search.schedule} schedule, {search.granularity} granularity"
    )
    print(f"vocabulary: {vocabulary}")
    if search.is_one_training:
        teacher = ", after the one of level 0, its teacher" if search.distillation else ""
        print(f"method {search.method}: level {search.rounds} is found in one training of {epochs} epochs{teacher}")
    print(f"asymptote: endless rounds approach {outlook.asymptote:.2%} of the prunable weights")
    if outlook.floor:
        print(f"floor: {search.granularity} granularity keeps at least {outlook.floor:.2%} of them")
    print("layers as ranked on the first weights; trained weights shift them\n")
    print(outlook.table())


def _train(arguments, config):
    import torch

    from lottery_train.controls import train_control
    from lottery_train.distributed import join_process_group
    from lottery_train.report import write_report
    from lottery_train.run import open_run, reuse_dense
    from lottery_train.search import search

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    process = join_process_group()
    # Resume is exact only if every operation is: the same input gives the same bits. CUDA's CTC gradient is not, so
    # that a GPU run resumes where it stood but may differ in the last bits; torch then warns.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=process.device.type == "cuda")
    # That mode fills each new tensor with NaN, for programs that read before they write: 5 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    with explain_os_errors(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
    run = open_run(arguments.out, config=config, data_dir=arguments.data_dir, process=process)
    if arguments.dense_from:
        reuse_dense(run, arguments.dense_from)
    folders = search(run)
    levels, names = controls_from(arguments, search=config.search)
    if levels and arguments.control_names is None and process.is_first:
        for name in (name for name in CONTROLS if name not in names):
            print(f"control {name} is left out: {unfit_control(config.search, name)}", file=sys.stderr)
    for level in levels:
        folders += [train_control(run, name, level=level) for name in names]
    run.metrics.close()
    if process.is_first:
        print(write_report(arguments.out))


def _require_packages(config, *, is_dry_run):
    """Notice a missing package of the extra at the start, not after hours of training."""
    require_extra("torch", extra="train")
    if not is_dry_run:
        units = ("sentencepiece",) if config.data.tokens != "char" else ()
        for package in (*_LATE_PACKAGES, *units):
            require_extra(package, extra="train")


def _require_utf8(out):
    """Refuse, before anything is trained, a run directory that safetensors and TensorBoard cannot open."""
    try:
        os.fsencode(out).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--out is {str(out)!a}: its name is not UTF-8", hint="choose another --out") from error


def _is_first():
    return int(os.environ.get("RANK", "0")) == 0


def _require_unicode(out):
    """Refuse a directory whose name is not UTF-8: TensorBoard writes to no such path."""
    name = str(out.absolute())
    if unicode_name(name) != name:
        raise ConfigError(
            f"{out}: its name is not UTF-8, and TensorBoard writes to no other", hint="choose another --out"
        )


@contextlib.contextmanager
def _prepared_out(arguments, config):
    """Keep --out for this run; the corpus is found first: a wrong name must not cost an old run."""
    if not _is_first():  # the other processes of torchrun wait for this one to join
        yield
        return
    _require_unicode(arguments.out)
    if arguments.resume:
        has_point = config.search.rewind in ("init", "step") and not config.search.is_one_training
        notes = check_processes(
            arguments.out,
            places=_places(arguments, config),
            num_processes=int(os.environ.get("WORLD_SIZE", "1")),
            dense_from=arguments.dense_from if has_point else None,
        )
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    find_mix(config.data.corpus, data_dir=arguments.data_dir)
    with lock_run(arguments.out):
        if not arguments.resume:
            clear_run(arguments.out, sources=(arguments.dense_from, config.train.init_from))
        yield


def _places(arguments, config):
    """Return where the tickets that a run is asked for stand in its directory."""
    from lottery_train.ticket import control_place, level_place

    search = config.search
    levels, names = controls_from(arguments, search=search)
    tickets = [search.rounds] if search.is_one_training else range(search.rounds + 1)
    return [*map(level_place, tickets), *(control_place(name, level=level) for level in levels for name in names)]


def _main(argv):
    if argv[:1] == ["import"]:
        return _import(argv[1:])
    parser = build_parser()
    arguments = parser.parse_args(argv)
    config = settings_from(arguments)
    _require_packages(config, is_dry_run=arguments.dry_run)
    from lottery_train.forecast import early_bird_note, forecast, with_target

    out = arguments.out if arguments.resume else None
    vocab_size, vocabulary = vocabulary_size(config.data.tokens, out=out, init_from=config.train.init_from)
    if arguments.target_density is not None:
        config = with_target(config, density=arguments.target_density, vocab_size=vocab_size)
    controls_from(arguments, search=config.search)
    outlook = forecast(config, vocab_size=vocab_size)
    note = early_bird_note(config.search, density=outlook.densities[-1])
    if note and _is_first():
        print(f"note: {note}", file=sys.stderr)
    if arguments.dry_run:
        return _print_forecast(outlook, search=config.search, epochs=config.train.epochs, vocabulary=vocabulary)
    if arguments.out is None:
        parser.error("--out is needed (or --dry-run)")
    _require_utf8(arguments.out)
    with _prepared_out(arguments, config):
        return _train(arguments, config)


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
