"""What is trained, as data: every experiment of the suite, in order of priority."""

import functools
from dataclasses import dataclass

from benchmarks.claims.experiment import Experiment
from lottery_train.arguments import build_parser, settings_from
from lottery_train.models.build import build_model, dense_config
from lottery_train.pruning import make_schedule, prunable_names
from lottery_train.ticket import control_place, level_place
from lottery_train.tokenization import vocabulary_size

# Backbone's experiment -> preset and further settings. The transducer's encoder starts from the dense CTC model.
BACKBONES = {
    "conformer": ("an4-unstructured",),
    "cnn_lstm": ("an4-cnn-lstm",),
    "rnnt": ("an4-rnnt", "--epochs", "40", "--set", "train.num_evaluations=20"),
}
STARTS = {"rnnt": "conformer/level_00"}
# Experiment -> granularity, at the non-zeros of single weights.
BLOCKS = {"block1x4": "block:1x4", "block4x4": "block:4x4"}
# Experiment -> settings that decide what leaves first.
SCHEDULES = {
    "decaying": ("--schedule", "decaying"),
    "layerwise": ("--schedule", "layerwise"),
    "layerwise_modules": ("--schedule", "layerwise-modules"),
    "lamp": ("--criterion", "lamp"),
}
# Experiment's prefix -> (corpus, epochs of dense and of each level, epochs of what starts from the source's ticket).
TARGETS = {
    "an4": ("an4", None, None, 30),
    "coffee": ("coffee_commands", 60, 8, 40),
    "asterisk": ("asterisk_en", 50, 6, 30),
}
CONTROLS = ("random-pruning", "random-ticket", "no-rewinding")
# What draws its weights says nothing beside a search that did not: a transducer that did was silent after 20 epochs.
_DRAWN_CONTROLS = ("dense-small", "random-ticket")
RATE = 0.36
PRIORITY = (
    "conformer", "cnn_lstm", "rnnt", "block1x4", "conformer_dense_small", "noise", "libri", "an4_from_libri_dense",
    "an4_from_libri_ticket", "gradual_10", "earlybird_10", "unit", "imp", "lamp", "decaying", "layerwise",
    "layerwise_modules", "gradual_10_longer", "oneshot_10", "gradual_10_distilled", "block4x4", "coffee",
    "coffee_from_libri_dense", "coffee_from_libri_ticket", "asterisk", "asterisk_from_libri_dense",
    "asterisk_from_libri_ticket", "conformer_controls", "noise_longer", "gradual_4", "gradual_16", "earlybird_4",
    "earlybird_16", "distilled", "conformer_longer", "unit_dense_small", "cnn_lstm_controls", "rnnt_controls",
    "cnn_lstm_longer", "rnnt_longer", "oneshot_4", "oneshot_16", "gradual_4_longer", "gradual_16_longer",
    "libri_longer", "an4_from_libri_longer", "coffee_from_libri_longer", "asterisk_from_libri_longer",
    "unit_controls", "noise_controls", "block1x4_controls", "libri_random", "an4_from_libri_random",
    "coffee_from_libri_random", "asterisk_from_libri_random",
)  # fmt: skip
# Of one gradual training: 2.4 dense ones, what may be spent on a search, less a little.
LONGER_EPOCHS = 168
# The source of the transfer on a processor: few rounds, larger ones, to the density of level 5 of the others.
SOURCE_RATE, SOURCE_ROUNDS = 0.525, 3
# What has had as many epochs on the source as its ticket, which level 0 has not.
_SOURCE_CONTROLS = {"longer": "dense-longer", "random": "random-pruning"}
_SOURCE = (
    "--tokens", "char", "--epochs", "15", "--batch-s", "32",
    "--set", "data.speeds=[0.9,1.0,1.1]", "--set", "data.max_utterance_s=17", "--set", "model.num_blocks=4",
    "--set", "model.ff=448", "--set", "train.num_evaluations=4", "--set", "train.average_best=3",
    "--set", "train.augmentation_loss=[1.0,0.5]",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the suite is.

    Args:
        rounds: prunings of a full search: 7 at 36 % leave 4.4 %.
        smaller: arguments added to every command, such as few epochs; of an option given twice the last one counts.
        models: (preset, settings of its model) pairs, such as a tiny width.
    """

    rounds: int = 7
    smaller: tuple[str, ...] = ()
    models: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def preset(self, name, *arguments):
        """Return the arguments of a preset at this scale; those of the scale come last."""
        settings = dict(self.models).get(name, ())
        sized = (part for setting in settings for part in ("--set", f"model.{setting}"))
        return ("--preset", name, *arguments, *self.smaller, *sized)

    def level(self, wanted):
        """Return the level that stands for one of the full suite."""
        return min(wanted, self.rounds)

    @property
    def levels(self):
        """Density in words -> level of the constant rate of 36 %: 16.8, 10.7 and 4.4 %."""
        return {"16": self.level(4), "10": self.level(5), "4": self.level(7)}

    def density(self, level):
        """Return the density of a level of the constant rate."""
        return (1 - RATE) ** self.level(level)

    @property
    def source_rounds(self):
        """Rounds of the transfer's source, and of targets other than AN4."""
        return min(SOURCE_ROUNDS, self.rounds)


def experiments(scale=None):
    """Return every Experiment of a scale, in order of priority: name -> Experiment."""
    scale = scale or Scale()
    parts = (
        _searches(scale), _control_sets(scale), _schedules(scale), _noise(scale),
        *(_transfer(scale, target) for target in TARGETS), *(_affordable(scale, density) for density in scale.levels),
        _paper(scale),
    )  # fmt: skip
    found = {experiment.name: experiment for part in parts for experiment in part}
    return {name: found[name] for name in sorted(found, key=PRIORITY.index)}


def _an4(scale, preset, *more):
    return scale.preset(preset, "--rounds", str(scale.rounds), *more)


def _backbone(scale, name):
    return _an4(scale, *BACKBONES[name])


def _controls(scale, folder, names, *, label, levels=(5,), arguments=None, claims=("C1",), is_noisy=False):
    """Return the experiment that sets controls beside a search's levels."""
    return Experiment(
        name=f"{folder}_{label}",
        claims=claims,
        folder=folder,
        arguments=arguments or _backbone(scale, folder),
        init_from=STARTS.get(folder),
        is_noisy=is_noisy,
        controls=tuple(sorted({scale.level(level) for level in levels})),
        control_names=names,
    )


def _searches(scale):
    for name in BACKBONES:
        claims = ("C1", "C2", "C3", "C4", "C5", "cost") if name == "conformer" else ("C1",)
        yield Experiment(name=name, claims=claims, arguments=_backbone(scale, name), init_from=STARTS.get(name))
    for name in BLOCKS:
        yield Experiment(name=name, claims=("C3",), arguments=_blocks(scale, name), dense_from="conformer")
    yield Experiment(name="unit", claims=("C3",), arguments=_unit(scale))


def _blocks(scale, name):
    return _an4(scale, "an4-unstructured", "--granularity", BLOCKS[name])


def _unit(scale):
    return _an4(scale, "an4")


def _control_sets(scale):
    small = {"label": "dense_small", "names": ("dense-small",)}
    yield _controls(scale, "conformer", **small, levels=(4, 5, 7), claims=("C1", "C3"))
    yield _controls(scale, "unit", **small, levels=(7,), claims=("C3",), arguments=_unit(scale))
    structured = {"label": "controls", "names": CONTROLS, "claims": ("C3",)}
    yield _controls(scale, "unit", **structured, levels=(4,), arguments=_unit(scale))
    yield _controls(scale, "block1x4", **structured, arguments=_blocks(scale, "block1x4"))
    for name in BACKBONES:
        names = CONTROLS if name == "conformer" else ("dense-small", *CONTROLS)
        if name in STARTS:
            names = tuple(control for control in names if control not in _DRAWN_CONTROLS)
        yield _controls(scale, name, names, label="controls")
        yield _controls(scale, name, ("dense-longer",), label="longer")


def _schedules(scale):
    for name, settings in SCHEDULES.items():
        rate = () if name == "lamp" else ("--rate", str(_equal_rate(settings[1], scale)))
        arguments = _an4(scale, "an4-unstructured", *settings, *rate)
        yield Experiment(name=name, claims=("C2",), arguments=arguments, dense_from="conformer")


def _noise(scale):
    # An epoch draws one copy of every utterance, so that it costs what a clean epoch costs: nothing is halved.
    # Three copies of four are noisy, at any of the SNRs that are tested.
    settings = ("--set", "data.noise_snrs_db=[20.0,10.0,5.0,0.0]", "--set", "data.num_noise_copies=3")
    rounds = ("--rounds", str(scale.level(5)))
    noisy = {
        "claims": ("C4",),
        "arguments": (*_an4(scale, "an4-unstructured"), *settings, *rounds),
        "is_noisy": True,
    }
    yield Experiment(name="noise", **noisy)
    yield _controls(scale, "noise", ("dense-longer",), label="longer", **noisy)
    yield _controls(scale, "noise", CONTROLS, label="controls", **noisy)


def _transfer(scale, target):
    corpus, epochs, per_level, further = TARGETS[target]
    rounds = ("--rounds", str(scale.source_rounds), "--rate", str(SOURCE_RATE))
    if target == "an4":
        source = scale.preset("mini_librispeech", *_SOURCE, "--rewind", "learning-rate", "--level-epochs", "4")
        search = {"claims": ("C5",), "arguments": (*source, *rounds)}
        yield Experiment(name="libri", **search)
        for label, control in _SOURCE_CONTROLS.items():
            yield _controls(scale, "libri", (control,), label=label, levels=(scale.source_rounds,), **search)
    data = ("--set", f"data.corpus={corpus}")
    if epochs is not None:
        settings = scale.preset("an4-unstructured", *data, "--epochs", str(epochs), "--level-epochs", str(per_level))
        yield Experiment(name=target, claims=("C5",), arguments=(*settings, *rounds))
    common = (*scale.preset("an4-unstructured", *data, "--epochs", str(further)), "--rounds", "0")
    last = scale.source_rounds
    starts = {"dense": level_place(0), "ticket": level_place(last)}
    starts |= {label: control_place(control, level=last) for label, control in _SOURCE_CONTROLS.items()}
    for name, ticket in starts.items():
        sparse = ("--set", "train.keeps_init_mask=true") if name in ("ticket", "random") else ()
        yield Experiment(
            name=f"{target}_from_libri_{name}",
            claims=("C5",),
            arguments=(*common, *sparse),
            init_from=f"libri/{ticket}",
        )


def _affordable(scale, density):
    """The searches that cost one to two and a half trainings, to the density of one of the constant rate's levels."""
    level = scale.levels[density]
    # Four rounds on the way for every level: the same density as the level's, to a few weights.
    steps = ("--rate", str(round(1 - (1 - RATE) ** 0.25, 6)), "--rounds", str(4 * level))
    gradual = ("--method", "gradual", *steps)
    base = scale.preset("an4-unstructured")
    yield Experiment(name=f"gradual_{density}", claims=("cost",), arguments=(*base, *gradual))
    longer = scale.preset("an4-unstructured", "--epochs", str(LONGER_EPOCHS))
    yield Experiment(name=f"gradual_{density}_longer", claims=("cost",), arguments=(*longer, *gradual))
    # All of the pruning at once, then as long again as the dense training.
    at_once = ("--rate", str(round(1 - scale.density(level), 6)), "--rounds", "1", "--level-epochs", "70")
    whole = scale.preset("an4-unstructured", *at_once)
    yield Experiment(name=f"oneshot_{density}", claims=("cost",), arguments=whole, dense_from="conformer")
    # Two masks of density d differ in at most 2 d of the weights: a tenth of that, as 0.1 is at half density.
    distance = f"search.early_bird_distance={round(0.2 * scale.density(level), 4)}"
    early = ("--method", "early-bird", "--rounds", str(level), "--set", distance)
    yield Experiment(name=f"earlybird_{density}", claims=("cost",), arguments=(*base, *early))
    if density == "10":
        distilled = ("--set", "search.distillation=0.5")
        yield Experiment(
            name="distilled",
            claims=("cost",),
            arguments=(*_backbone(scale, "conformer"), *distilled),
            dense_from="conformer",
        )
        yield Experiment(
            name="gradual_10_distilled",
            claims=("cost",),
            arguments=(*base, *gradual, *distilled),
            dense_from="conformer",
        )


def _paper(scale):
    # As dear as the paper's: every level is a whole training, from an early state of the first.
    search = ("--rewind", "step", "--level-epochs", "70")
    yield Experiment(name="imp", claims=("C1", "cost"), arguments=_an4(scale, "an4-unstructured", *search))


@functools.cache
def _equal_rate(schedule, scale):
    """Return the rate with which a schedule ends at the density of the constant one, by bisection."""
    config = settings_from(build_parser().parse_args([*_backbone(scale, "conformer")]))
    vocab_size, _ = vocabulary_size(config.data.tokens)
    model = build_model(dense_config(config.model, vocab_size=vocab_size), seed=0)
    parameters = dict(model.named_parameters())
    sizes = {name: parameters[name].numel() for name in prunable_names(model, scope=config.search.scope)}

    def density(rate):
        found = make_schedule(schedule, rate=rate, decay=config.search.decay)
        return found.densities(scale.rounds, shares=found.shares(sizes))[-1]

    low, high = 0.01, 0.75  # layerwise rates are multiplied by up to 1.1 (1.22 where split by parameters)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if density(middle) > scale.density(scale.rounds) else (low, middle)
    return round((low + high) / 2, 6)
