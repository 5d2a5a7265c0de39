"""The command line of lottery-train: its help, written from the settings' own documentation, and its values."""

import argparse
import dataclasses
import inspect
import json
import textwrap
import typing
from pathlib import Path

from lottery_train.config import CONTROLS, DataConfig, SearchConfig, TrainConfig, unfit_control
from lottery_train.corpora import IMPORTERS
from lottery_train.errors import ConfigError
from lottery_train.presets import PRESETS, preset
from lottery_train.settings import explain, metavar, with_settings
from runtime.errors import MissingExtraError, require_extra
from runtime.options import create_parser, positive_int

_USAGE = """lottery-train [--preset NAME] --out DIR [options] [settings]
       lottery-train [--preset NAME] --dry-run [settings]
       lottery-train import {importers} SOURCE OUT"""
_EXAMPLES = """\
  lottery-train --out runs/demo                                       the embedded corpus: nothing else is needed
  lottery-train --preset an4 --data-dir packs/an4 --out runs/an4      a real corpus; start again to resume
  lottery-train --preset an4 --rate 0.2 --target-density 0.1 --dry-run
  lottery-train --preset an4 --out runs/an4 --controls 3,6            controls beside levels 3 and 6
  lottery-train --preset an4 --method gradual --rounds 4 --out runs/gradual    one ticket for the price of one training
  lottery-train import an4 downloads/an4 packs/an4                    manifests from the official layout
"""
# Flags for the settings people change most; every other one is reached with --set.
_FLAGS = (
    "data.corpus", "data.tokens", "data.noise", "data.negatives",
    "train.epochs", "train.batch_s", "train.learning_rate", "train.seed", "train.precision",
    "search.rounds", "search.rate", "search.decay", "search.schedule", "search.granularity", "search.criterion",
    "search.scope", "search.method", "search.rewind", "search.rewind_steps", "search.level_epochs",
    "search.distillation",
)  # fmt: skip


def build_parser():
    """Return the ArgumentParser of lottery-train."""
    parser = create_parser(
        "lottery-train",
        description="Find lottery tickets: train, prune, rewind, level by level. Writes one ticket directory a level, "
        "and a report.",
        examples=_EXAMPLES,
    )
    parser.usage = _USAGE.format(importers="|".join(sorted(IMPORTERS)))
    parser.add_argument("--preset", default="embedded", metavar="NAME", help="settings to start from (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run directory")
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the run in --out (default), or remove it and start over",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="corpus directory (default: $LOTTERY_DATA, then download)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the density of every level and layer, train nothing"
    )
    parser.add_argument(
        "--target-density", type=float, metavar="X", help="as many rounds as this density of prunable weights needs"
    )
    parser.add_argument("--controls", metavar="LEVELS", help="levels to set controls beside, such as 3,6")
    parser.add_argument("--control-names", metavar="NAMES", help="which controls, such as random-ticket (default: all)")
    parser.add_argument(
        "--dense-from", type=Path, metavar="DIR", help="run whose level 0 (same data, model, training) is reused"
    )
    parser.add_argument("--threads", type=positive_int, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PART.FIELD=VALUE",
        help="any setting of config.json, value as JSON, such as model.ff=256",
    )
    parts = {"data": DataConfig(), "train": TrainConfig(), "search": SearchConfig()}
    kinds, texts = {}, {}
    for part, settings in parts.items():
        kinds |= {f"{part}.{name}": kind for name, kind in typing.get_type_hints(type(settings)).items()}
        texts |= _explanations(part, settings)
    group = parser.add_argument_group("settings", "The default is the preset's.")
    for key in _FLAGS:
        flag = f"--{key.partition('.')[2].replace('_', '-')}"
        group.add_argument(flag, dest=key, metavar=metavar(kinds[key]), help=texts[key].replace("%", "%%"))
    others = [key for key in texts if key not in _FLAGS]
    parser.add_argument_group("settings without a flag, for --set", _entries({key: texts[key] for key in others}))
    for title, entries in _model_groups():
        parser.add_argument_group(title, _entries(entries))
    summaries = {name: inspect.getdoc(function) or "" for name, function in sorted(PRESETS.items())}
    parser.add_argument_group("presets", _entries(summaries))
    parser.add_argument_group("controls", _entries(CONTROLS))
    return parser


def _explanations(part, settings):
    """Return `part.field` -> what it means, and for settings that only --set reaches their default."""
    explained, texts = explain(type(settings)), {}
    for item in dataclasses.fields(settings):
        key, text = f"{part}.{item.name}", explained.get(item.name, "")
        default = json.dumps(getattr(settings, item.name))
        texts[key] = text if key in _FLAGS else f"{text.removesuffix('.')} (default: {default})"
    return texts


def _model_groups():
    """Return (title, `model.field` -> text) pairs: the backbones, then the settings that the same ones share."""
    try:
        registry = require_extra("lottery_train.models.registry", extra="train")
        settings = {name: registry.load_backbone(name).Settings() for name in registry.BACKBONES}
    except MissingExtraError as error:
        return [("model settings", {"model.*": f"shown where torch is installed: {error.hint}"})]
    users = {}
    for name, each in settings.items():
        for entry in _explanations("model", each).items():
            if entry[0] != "model.backbone":
                users.setdefault(entry, []).append(name)
    groups = {}
    for (key, text), names in users.items():
        groups.setdefault(f"settings of {' and '.join(names)}, for --set", {})[key] = text
    summaries = {name: inspect.getdoc(type(each)).splitlines()[0] for name, each in settings.items()}
    meanings = "; ".join(f"{name}: {text.removesuffix('.')}" for name, text in summaries.items())
    first = json.dumps(registry.FIRST_BACKBONE)
    which = explain(next(type(each) for each in settings.values()))["backbone"].removesuffix(".")
    return [("backbones, for --set", {"model.backbone": f"{which} [{meanings}] (default: {first})"}), *groups.items()]


def _entries(texts):
    width = 100
    wrapped = (textwrap.wrap(text, width - 6) for text in texts.values())
    return "\n".join(
        f"{name}\n" + textwrap.indent("\n".join(lines), "    ") for name, lines in zip(texts, wrapped, strict=True)
    )


def settings_from(arguments):
    """Return the RunConfig of parsed arguments: preset, then flags, then --set.

    Raises:
        ConfigError: unknown setting, or a value that is of another type or out of range.
    """
    changes = {key: getattr(arguments, key) for key in _FLAGS if getattr(arguments, key) is not None}
    for item in arguments.set:
        key, separator, text = item.partition("=")
        if not separator:
            raise ConfigError(f"--set is {item!r}, expected PART.FIELD=VALUE, such as model.ff=256")
        changes[key] = text
    return with_settings(preset(arguments.preset), changes)


def controls_from(arguments, *, search):
    """Return (levels, names): beside which levels controls are asked for, and which.

    Args:
        search: SearchConfig of the run; unless controls are named, those that do not fit it are left out.
    Raises:
        ConfigError: a level that the run does not have, or a control that is unknown or does not fit.
    """
    if arguments.control_names is None:
        names = tuple(name for name in CONTROLS if unfit_control(search, name) is None)
    else:
        names = tuple(arguments.control_names.split(","))
    for name in names:
        if name not in CONTROLS:
            raise ConfigError(f"--control-names: {name!r} is no control, expected any of: {', '.join(CONTROLS)}")
        if why_not := unfit_control(search, name):
            raise ConfigError(f"--control-names: {name}: {why_not}")
    if arguments.controls is None:
        if arguments.control_names is not None:
            raise ConfigError("--control-names says which controls, but not where", hint="add --controls LEVELS")
        return (), names
    rounds = search.rounds
    first = rounds if search.is_one_training else 1
    expected = f"levels from {first} to {rounds} (--rounds), such as {rounds}"
    if search.is_one_training:
        expected = f"{rounds}: method {search.method} finds the ticket of --rounds alone"
    if not rounds:
        expected = "none: a run without rounds"
    texts = arguments.controls.split(",")
    if not all(text.isdecimal() and max(1, first) <= int(text) <= rounds for text in texts):
        raise ConfigError(f"--controls is {arguments.controls!r}, expected {expected}")
    return tuple(int(text) for text in texts), names
