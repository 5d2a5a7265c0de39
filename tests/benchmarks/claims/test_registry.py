"""The experiments as data: whoever runs them needs every name to be there and every setting to be one."""

import dataclasses

import pytest
import torch

from benchmarks.claims.__main__ import choose, dependencies
from benchmarks.claims.experiment import level_epochs
from benchmarks.claims.quick import QUICK
from benchmarks.claims.registry import PRIORITY, SCHEDULES, Scale, experiments
from lottery_train.arguments import build_parser, controls_from
from lottery_train.errors import ConfigError
from lottery_train.models.build import build_model, dense_config
from lottery_train.pruning import make_schedule, prunable_names
from lottery_train.tokenization import vocabulary_size
from runtime.files import write_json


@pytest.fixture(scope="module", params=[Scale(), QUICK], ids=["full", "quick"])
def scale(request):
    torch.set_num_threads(1)
    return request.param


def test_every_experiment_has_a_place_and_every_dependency_comes_first(scale):
    known = experiments(scale)
    assert tuple(known) == PRIORITY
    for place, experiment in enumerate(known.values()):
        assert experiment.claims
        assert set(dependencies(experiment, known=known)) <= set(PRIORITY[:place])


def test_commands_are_ones_that_lottery_train_takes(scale, bench):
    for experiment in experiments(scale).values():
        command = bench.command(experiment, seed=0)
        parsed = build_parser().parse_args(command[3:])
        config = bench.settings(experiment, seed=0)
        levels, names = controls_from(parsed, search=config.search)
        assert len(levels) == len(experiment.controls)
        assert parsed.threads == 1
        assert bench.tickets(experiment, seed=0)
        assert set(levels) <= set(level_epochs(config))
        assert experiment.control_names in ((), names)


def test_what_starts_from_a_ticket_finds_it(scale, bench):
    known = experiments(scale)
    for experiment in known.values():
        for path in bench.requirements(experiment, seed=0):
            makers = [each for each in known.values() if path in bench.tickets(each, seed=0)]
            assert makers, path


def test_reused_dense_models_were_trained_alike(scale, bench):
    known = experiments(scale)
    for experiment in known.values():
        if experiment.dense_from:
            mine, source = (bench.settings(each, seed=0) for each in (experiment, known[experiment.dense_from]))
            assert (mine.data, mine.model, mine.train) == (source.data, source.model, source.train)


def test_transferred_tensors_fit(scale, bench):
    known = experiments(scale)
    for experiment in known.values():
        if experiment.init_from:
            folder = experiment.init_from.partition("/")[0]
            source, model = (vars(bench.settings(each, seed=0).model) for each in (known[folder], experiment))
            # A transducer has settings beside those of the encoder that it takes.
            assert {**model, "backbone": source["backbone"]}.items() >= source.items()


def test_schedules_end_at_the_constant_rates_density(scale, bench):
    known = experiments(scale)
    config = bench.settings(known["conformer"], seed=0)
    vocab_size, _ = vocabulary_size(config.data.tokens)
    model = build_model(dense_config(config.model, vocab_size=vocab_size), seed=0)
    parameters = dict(model.named_parameters())
    sizes = {name: parameters[name].numel() for name in prunable_names(model, scope=config.search.scope)}
    for name in SCHEDULES:
        search = bench.settings(known[name], seed=0).search
        schedule = make_schedule(search.schedule, rate=search.rate, decay=search.decay)
        density = schedule.densities(search.rounds, shares=schedule.shares(sizes))[-1]
        assert density == pytest.approx(scale.density(scale.rounds), abs=1e-3), name


def test_affordable_searches_end_where_the_levels_do(scale, bench):
    known = experiments(scale)
    for density, level in scale.levels.items():
        searches = ("gradual_{}", "gradual_{}_longer", "earlybird_{}", "oneshot_{}")
        for name in (text.format(density) for text in searches):
            search = bench.settings(known[name], seed=0).search
            assert (1 - search.rate) ** search.rounds == pytest.approx(scale.density(level), abs=1e-3)


def test_the_full_suite_keeps_what_the_claims_name():
    densities = [Scale().density(level) for level in Scale().levels.values()]
    assert [round(density, 3) for density in densities] == [0.168, 0.107, 0.044]


def test_other_seeds_have_folders_of_their_own(bench):
    known = experiments(Scale())
    command = bench.command(known["an4_from_libri_ticket"], seed=2)
    assert bench.folder("conformer", seed=2).name == "conformer_seed2"
    assert bench.settings(known["conformer"], seed=2).train.seed == 2
    assert any(part.endswith("libri_seed2/level_03") for part in command)


def test_a_run_keeps_the_spelling_of_its_paths(bench):
    """A run that was started with an absolute path goes on, though the suite would write a relative one."""
    experiment = experiments(Scale())["noise"]
    spelled = str((bench.data_dir / "noise" / "train.jsonl").resolve())
    config = bench.settings(experiment, seed=0)
    assert config.data.noise != spelled
    changed = dataclasses.replace(config, data=dataclasses.replace(config.data, noise=spelled))
    folder = bench.folder("noise", seed=0)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", changed.to_json())
    assert bench.settings(experiment, seed=0).data.noise == spelled
    assert not bench.has_other_settings(experiment, seed=0)
    other = dataclasses.replace(changed, train=dataclasses.replace(changed.train, epochs=3))
    write_json(folder / "config.json", other.to_json())
    assert bench.has_other_settings(experiment, seed=0)


def test_choosing_brings_what_is_needed():
    known = experiments(Scale())
    names = [experiment.name for experiment in choose(known, only=None, names="an4_from_libri_ticket,lamp")]
    assert names == ["conformer", "libri", "an4_from_libri_ticket", "lamp"]
    names = [experiment.name for experiment in choose(known, only=None, names="an4_from_libri_longer")]
    assert names == ["libri", "libri_longer", "an4_from_libri_longer"]
    names = [experiment.name for experiment in choose(known, only="C4", names=None)]
    assert names == ["conformer", "noise", "noise_longer", "noise_controls"]
    with pytest.raises(ConfigError, match="no experiment 'lamb'"):
        choose(known, only=None, names="lamb")
