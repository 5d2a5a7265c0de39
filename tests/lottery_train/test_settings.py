"""Settings: one type check from the annotations, ranges, and how a value is read from text or JSON."""

import json

import pytest

from lottery_train import controls, pruning
from lottery_train.config import CONTROLS, RunConfig, SearchConfig, TrainConfig
from lottery_train.errors import ConfigError
from lottery_train.presets import PRESETS
from lottery_train.settings import explain, with_settings


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("data.corpus", "null", "text"),
        ("data.corpus", "", "the name of a corpus"),
        ("data.tokens", "bpe", "char, bpe:N, unigram:N or init"),
        ("data.tokens", "init", "another value without train.init_from"),
        ("data.negatives_share", "1", "more than 0 and less than 1"),
        ("data.num_room_copies", "-1", "at least 0"),
        ("train.gain_range_db", "[10, -10]", "[low, high] within -60 to 60"),
        ("train.perturb_probability", "2", "0 to 1"),
        ("data.speeds", "1.0", "a list of finite numbers"),
        ("data.speeds", "[]", "one or more numbers from 0.5 to 2"),
        ("data.speeds", '[1, "2"]', "a list of finite numbers"),
        ("data.noise_snrs_db", "[]", "one or more numbers"),
        ("data.num_noise_copies", "0", "at least 1"),
        ("data.max_utterance_s", "0", "more than 0"),
        ("model.ff", "abc", "an integer"),
        ("model.ff", "2.5", "an integer"),
        ("model.ff", "true", "an integer"),
        ("model.ff", "0", "at least 1"),
        ("model.conv_kernel", "4", "a positive odd number"),
        ("model.left_context_frames", "3", "at least 7"),
        ("model.dropout", "1", "at least 0 and less than 1"),
        ("train.learning_rate", "abc", "a finite number"),
        ("train.learning_rate", "NaN", "a finite number"),
        ("train.learning_rate", "1e999", "a finite number"),
        ("train.learning_rate", "1" + "0" * 400, "a finite number"),
        ("train.learning_rate", "true", "a finite number"),
        ("train.learning_rate", "-0.1", "more than 0"),
        ("train.eval_chunk_frames", "0", "at least 1"),
        ("train.chunk_frames", "[8, 0]", "one or more integers of at least 1"),
        ("train.chunk_frames", "[8, 1.5]", "a list of integers"),
        ("train.augmentation_loss", "[1, 1]", "[high, low] with high above low"),
        ("train.augmentation_loss", "[1, 0.5, 0]", "a list of 2 finite numbers"),
        ("train.warmup_epochs", "-1", "at least 0"),
        ("train.character_weight", "1", "at least 0 and less than 1"),
        ("train.precision", "float16", "auto or bfloat16 or float32"),
        ("train.seed", "-1", "0 to 2^63 - 1"),
        ("search.rounds", "-1", "at least 0"),
        ("search.rate", "1", "more than 0 and less than 1"),
        ("search.decay", "0", "more than 0 and less than 1"),
        ("search.granularity", "3", "weight, unit, or block:RxC"),
        ("search.granularity", "block:0x4", "weight, unit, or block:RxC"),
        ("search.scope", "all", "linear or pointwise"),
        ("search.criterion", "[]", "lamp or magnitude or random"),
        ("search.level_epochs", "0", "at least 1, or null"),
        ("search.level_epochs", "soon", "an integer or null"),
        ("search.method", "both", "iterative or gradual or early-bird"),
        ("search.ramp", "[0.5, 0.2]", "[first, last] with 0 <= first <= last <= 1"),
        ("search.ramp", "0.5", "a list of 2 finite numbers"),
        ("search.early_bird_distance", "0", "more than 0 and at most 1"),
        ("search.distillation", "1", "at least 0 and less than 1"),
        ("train.keeps_init_mask", "true", "false without train.init_from"),
        ("search.can_remove_groups", "1", "true or false"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(key, text, expected):
    with pytest.raises(ConfigError) as caught:
        with_settings(RunConfig(), {key: text})
    assert str(caught.value).startswith(f"{key} is ")
    assert f"expected {expected}" in str(caught.value)


def test_values_are_read_as_their_annotations_say():
    changes = {
        "data.corpus": "7", "data.noise": '"a b.jsonl"', "data.speeds": "[1, 1.1]", "train.batch_s": "60",
        "train.chunk_frames": "[4]", "train.init_from": "null", "search.level_epochs": "3",
        "search.can_remove_groups": "true",
    }  # fmt: skip
    config = with_settings(RunConfig(), changes)
    assert (config.data.corpus, config.data.noise, config.data.speeds) == ("7", "a b.jsonl", (1.0, 1.1))
    assert type(config.train.batch_s) is float
    assert (config.train.chunk_frames, config.train.init_from) == ((4,), None)
    assert (config.search.level_epochs, config.search.can_remove_groups) == (3, True)
    assert config.model == RunConfig().model


def test_settings_that_need_each_other_may_come_in_any_order():
    for changes in ({"model.conv_kernel": "201", "model.left_context_frames": "100"},):
        for order in (list(changes), list(reversed(changes))):
            config = with_settings(RunConfig(), {key: changes[key] for key in order})
            assert (config.model.conv_kernel, config.model.left_context_frames) == (201, 100)


def test_a_file_is_held_to_the_same_types():
    for preset in PRESETS.values():
        assert RunConfig.from_json(json.loads(json.dumps(preset().to_json()))) == preset()
    new = {"method", "ramp", "early_bird_distance", "distillation", "keeps_init_mask"}
    for preset in PRESETS.values():
        old = {
            part: {name: value for name, value in values.items() if name not in new}
            for part, values in preset().to_json().items()
        }
        assert RunConfig.from_json(old) == preset(), "a file from before these settings"
    assert RunConfig.from_json({"train": {"batch_s": 6}}) == RunConfig(train=TrainConfig(batch_s=6.0))
    with pytest.raises(ConfigError, match=r"train\.epochs is '3', expected an integer"):
        RunConfig.from_json({"train": {"epochs": "3"}})
    with pytest.raises(ConfigError, match="TrainConfig: expected an object with fields among epochs"):
        RunConfig.from_json({"train": {"epoch": 3}})
    with pytest.raises(ConfigError, match="RunConfig: expected an object"):
        RunConfig.from_json([])


def test_documented_choices_are_those_of_the_code():
    choices = {name: SearchConfig.__dataclass_fields__[name].metadata["choices"] for name in ("schedule", "scope")}
    assert tuple(choices["schedule"]) == pruning.SCHEDULES
    assert tuple(choices["scope"]) == pruning.SCOPES
    assert tuple(SearchConfig.__dataclass_fields__["criterion"].metadata["choices"]) == pruning.CRITERIA
    assert tuple(CONTROLS) == tuple(controls.CONTROLS)


def test_explanations_come_from_the_docstring():
    texts = explain(SearchConfig)
    assert set(texts) == set(SearchConfig.__dataclass_fields__)
    assert texts["decay"] == "factor on the rate, round by round (decaying forms)."
    assert texts["scope"].endswith(
        "[linear: linear layers (the paper); pointwise: linear layers and pointwise convolutions]"
    )
