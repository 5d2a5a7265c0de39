"""lottery-train: from a corpus to tickets."""

import argparse
import json
import os
import sys
from dataclasses import fields, replace
from pathlib import Path

from lottery_train.config import RunConfig
from lottery_train.errors import ConfigError
from lottery_train.presets import PRESETS, preset
from runtime.command import run_command
from runtime.errors import require_extra
from runtime.files import explain_os_errors

_NOMINAL_VOCABULARY = 28
_EXAMPLES = """examples:
  lottery-train --out runs/demo                                       the embedded corpus: nothing else is needed
  lottery-train --preset an4 --data-dir packs/an4 --out runs/an4      a real corpus; start again to resume
  lottery-train --preset an4 --rate 0.2 --target-density 0.1 --dry-run
  lottery-train --preset an4 --out runs/an4 --controls 3,6            controls beside levels 3 and 6
  lottery-train import an4 downloads/an4 packs/an4                    manifests from the official layout
"""
# Flags for the settings people change most; every other one is reached with --set.
_FLAGS = (
    ("corpus", "data", str), ("tokens", "data", str), ("noise", "data", str),
    ("epochs", "train", int), ("batch_s", "train", float), ("learning_rate", "train", float), ("seed", "train", int),
    ("precision", "train", str),
    ("rounds", "search", int), ("rate", "search", float), ("decay", "search", float), ("schedule", "search", str),
    ("granularity", "search", str), ("criterion", "search", str), ("scope", "search", str), ("rewind", "search", str),
    ("rewind_steps", "search", int), ("level_epochs", "search", int),
)  # fmt: skip


def _parser():
    parser = argparse.ArgumentParser(
        prog="lottery-train",
        description="Find lottery tickets: train, prune, rewind, level by level.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", default="embedded", help=f"settings to start from: {', '.join(sorted(PRESETS))}")
    parser.add_argument("--out", type=Path, help="run directory; an unfinished run there goes on")
    parser.add_argument("--data-dir", type=Path, help="corpus directory (default: $LOTTERY_DATA, then download)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the density of every level and layer, train nothing"
    )
    parser.add_argument("--target-density", type=float, help="as many rounds as this density of prunable weights needs")
    parser.add_argument("--controls", help="levels to set controls beside, such as 3,6")
    parser.add_argument("--control-names", help="which controls (default: all)")
    parser.add_argument("--dense-from", type=Path, help="run whose level 0 (same data, model, training) is reused")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PART.FIELD=VALUE",
        help="any setting of config.json, value as JSON, such as model.ff=256",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    settings = parser.add_argument_group("settings (default: the preset's)")
    for name, part, kind in _FLAGS:
        settings.add_argument(
            f"--{name.replace('_', '-')}", dest=f"{part}.{name}", type=kind, metavar=kind.__name__.upper()
        )
    return parser


def settings_from(arguments):
    """Return the RunConfig of parsed arguments: preset, then flags, then --set.

    Raises:
        ConfigError: unknown setting, or a value out of range.
    """
    changes = {f"{part}.{name}": getattr(arguments, f"{part}.{name}") for name, part, _ in _FLAGS}
    for item in arguments.set:
        key, separator, text = item.partition("=")
        if not separator:
            raise ConfigError(f"--set {item!r}: expected PART.FIELD=VALUE")
        changes[key] = _parse_value(text)
    config = preset(arguments.preset)
    for key, value in changes.items():
        if value is not None:
            config = _with_setting(config, key, value)
    return config


def _parse_value(text):
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return tuple(value) if isinstance(value, list) else value


def _with_setting(config, key, value):
    part, _, name = key.partition(".")
    known = [f"{group.name}.{item.name}" for group in fields(RunConfig) for item in fields(getattr(config, group.name))]
    if key not in known:
        raise ConfigError(f"no setting {key!r}", hint=f"settings: {', '.join(known)}")
    try:
        return replace(config, **{part: replace(getattr(config, part), **{name: value})})
    except TypeError as error:
        raise ConfigError(f"{key} is {value!r}: {error}") from error


def _import(argv):
    parser = argparse.ArgumentParser(prog="lottery-train import", description="Write manifests for a corpus.")
    parser.add_argument("name", help="librispeech, common_voice, tedlium, an4, speech_commands, or folder")
    parser.add_argument("source", type=Path, help="the corpus in its official layout")
    parser.add_argument("out", type=Path, help="where the manifests go")
    arguments = parser.parse_args(argv)
    from lottery_train.corpora import import_corpus

    corpus = import_corpus(arguments.name, source_dir=arguments.source, out_dir=arguments.out)
    for split, path in corpus.splits.items():
        print(f"{split}\t{path}")
    if corpus.skipped:
        print(f"{len(corpus.skipped)} utterances skipped, the first: {corpus.skipped[0]}", file=sys.stderr)


def _dry_run(config):
    from lottery_train.forecast import forecast

    outlook = forecast(config, vocab_size=_NOMINAL_VOCABULARY)
    print(
        f"{outlook.num_weights} weights, {outlook.num_kept[0]} prunable ({config.search.scope}); "
        f"{config.search.schedule} schedule, {config.search.granularity} granularity"
    )
    print(f"asymptote: endless rounds approach {outlook.asymptote:.2%} of the prunable weights")
    print("layers as ranked on the first weights; trained weights shift them\n")
    print(outlook.table())


def _train(arguments, config):
    import torch

    from lottery_train.controls import CONTROLS, train_control
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
    with explain_os_errors(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
    run = open_run(arguments.out, config=config, data_dir=arguments.data_dir, process=process)
    if arguments.dense_from:
        reuse_dense(run, arguments.dense_from)
    folders = search(run)
    names = arguments.control_names.split(",") if arguments.control_names else CONTROLS
    for level in [int(level) for level in arguments.controls.split(",")] if arguments.controls else []:
        folders += [train_control(run, name, level=level) for name in names]
    run.metrics.close()
    if process.is_first:
        print(write_report(arguments.out))


def _main(argv):
    if argv[:1] == ["import"]:
        return _import(argv[1:])
    parser = _parser()
    arguments = parser.parse_args(argv)
    config = settings_from(arguments)
    require_extra("torch", extra="train")
    require_extra("safetensors", extra="train")
    from lottery_train.forecast import with_target

    if arguments.target_density is not None:
        config = with_target(config, density=arguments.target_density, vocab_size=_NOMINAL_VOCABULARY)
    if arguments.dry_run:
        return _dry_run(config)
    if arguments.out is None:
        parser.error("--out is needed (or --dry-run)")
    return _train(arguments, config)


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
