"""The transducer: encoder shared with the Conformer, predictors step by step, greedy search, units."""

import dataclasses

import pytest
import torch

from lottery_train.batching import Batch, Targets
from lottery_train.errors import ConfigError
from lottery_train.models import ConformerConfig, build_model, make_model
from lottery_train.models.rnnt import MAX_SYMBOLS_PER_FRAME, RnntConfig, RnntSettings
from runtime.features import PADDING_VALUE
from tests.lottery_train.slicing import assert_masked_equals_sliced
from tests.lottery_train.test_transducer_loss import enumerated
from tests.lottery_train.tiny import TINY_MODELS, drawn_model

BOTH = pytest.mark.parametrize(("encoder", "predictor"), [("conformer", "stateless"), ("lstm", "lstm")])


def tiny_rnnt(*, encoder="conformer", predictor="stateless", **fields):
    """Return the config of a small transducer; its context reaches further than two symbols."""
    settings = RnntSettings(**TINY_MODELS["rnnt"], encoder=encoder, predictor=predictor, context=3, dropout=0.0)
    return dataclasses.replace(settings.config(vocab_size=6), **fields)


def make_batch(*, lengths=(16, 8), targets=((1, 2, 2), (5,)), chunk=8):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(lengths), 4 * max(lengths) + 3, 80, generator=generator) * 3 - 8
    for row, length in zip(x, lengths, strict=True):
        row[4 * length :] = PADDING_VALUE
    return Batch(
        features_BTF=x,
        input_lengths=torch.tensor(lengths),
        targets=Targets.pad([list(ids) for ids in targets]),
        characters=Targets.pad([[1, 2]] * len(lengths)),
        chunk=chunk,
        audio_s=1.0,
    )


def model_of(config):
    return drawn_model(config, num_mels=80)


@torch.no_grad()
@BOTH
def test_a_row_of_a_batch_is_what_the_utterance_alone_is(encoder, predictor):
    model, batch = model_of(tiny_rnnt(encoder=encoder, predictor=predictor)), make_batch()
    outputs, _ = model.outputs(batch)
    losses, ids = model.losses(outputs, batch), model.decode(outputs, batch)
    for row, (length, target) in enumerate(((16, (1, 2, 2)), (8, (5,)))):
        alone = make_batch(lengths=(length,), targets=(target,))
        alone = dataclasses.replace(alone, features_BTF=batch.features_BTF[row : row + 1, : 4 * length + 3])
        found, _ = model.outputs(alone)
        torch.testing.assert_close(model.losses(found, alone)[0], losses[row], rtol=1e-5, atol=0)
        assert model.decode(found, alone)[0] == ids[row]


@torch.no_grad()
def test_the_loss_is_the_enumeration_over_the_lattice_of_its_outputs():
    model, batch = model_of(tiny_rnnt()), make_batch(lengths=(2, 1), targets=((1, 4), ()), chunk=1)
    outputs, _ = model.outputs(batch)
    assert outputs[1].shape == (2, 2, 3, 6)
    expected = enumerated(outputs[1], batch.targets.ids_BU, batch.input_lengths, batch.targets.lengths)
    torch.testing.assert_close(model.losses(outputs, batch), expected)


@torch.no_grad()
@pytest.mark.parametrize("predictor", ["stateless", "lstm"])
def test_a_predictor_step_by_step_is_what_it_is_at_once(predictor):
    model, ids = model_of(tiny_rnnt(predictor=predictor)).predictor, torch.tensor([[1, 5, 2, 3, 3], [4, 4, 1, 5, 2]])
    whole = model(ids)
    output, state = model.start(2)
    torch.testing.assert_close(output, whole[:, 0])
    for place in range(ids.shape[1]):
        output, state = model.advance(ids[:, place], state)
        torch.testing.assert_close(output, whole[:, place + 1])


@torch.no_grad()
@BOTH
def test_decoding_takes_the_best_node_one_utterance_at_a_time(encoder, predictor):
    """The batched search against the textbook's loop, which runs the whole predictor again for every symbol."""
    model, batch = model_of(tiny_rnnt(encoder=encoder, predictor=predictor)), make_batch()
    logits = model.outputs(batch)[0][1]
    model.joiner.out.bias[0] += (logits[..., 1:].amax(-1) - logits[..., 0]).median()
    outputs, _ = model.outputs(batch)
    found = model.decode(outputs, batch)
    for row, length in enumerate(batch.input_lengths.tolist()):
        ids = []
        for frame in range(length):
            for _ in range(MAX_SYMBOLS_PER_FRAME):
                predicted = model.predictor(torch.tensor([ids], dtype=torch.int64))[0, -1]
                best = int(model.joiner(outputs[0][row, frame], model.joiner.predictor(predicted)).argmax())
                if best == 0:
                    break
                ids.append(best)
        assert found[row] == ids
    assert 0 < len(found[0]) < 16 * MAX_SYMBOLS_PER_FRAME


@torch.no_grad()
def test_a_frame_emits_a_bounded_number_of_symbols():
    model, batch = model_of(tiny_rnnt()), make_batch()
    model.joiner.out.bias[3] += 100.0
    assert model.decode(model.outputs(batch)[0], batch) == [
        [3] * (16 * MAX_SYMBOLS_PER_FRAME),
        [3] * (8 * MAX_SYMBOLS_PER_FRAME),
    ]


@torch.no_grad()
def test_the_encoder_is_the_conformer_s():
    settings = TINY_MODELS["conformer"]
    conformer = model_of(ConformerConfig(**RnntSettings(**settings, dropout=0.0).conformer_fields(), vocab_size=6))
    model, batch = model_of(tiny_rnnt()), make_batch()
    weights = {name: value for name, value in conformer.state_dict().items() if not name.startswith("head.")}
    model.encoder.load_state_dict(weights)
    found = model.encoder.encode(batch.features_BTF, chunk=8, tap=1)
    for one, other in zip(found, conformer.encode(batch.features_BTF, chunk=8, tap=1), strict=True):
        assert torch.equal(one, other)


@BOTH
def test_masked_equals_the_smaller_model(encoder, predictor):
    """Neurons of the joiner and units of the predictor cross in one matrix, LSTM units and the joiner in another."""
    config = tiny_rnnt(encoder=encoder, predictor=predictor)
    unit = {"stateless": "predictor.project", "lstm": "predictor.lstm"}[predictor]
    below = {"conformer": "encoder.blocks.0.ff1", "lstm": "encoder.layers.1.ahead"}[encoder]
    drop = {"joiner.neurons": [0, 5], unit: [3, 4, 9], below: [1]}

    def shrink(config, kept):
        inner = config.encoder
        if encoder == "lstm":
            last = dataclasses.replace(inner.layers[1], ahead=kept[below])
            inner = dataclasses.replace(inner, layers=(inner.layers[0], last))
        else:
            first = dataclasses.replace(inner.blocks[0], ff1=kept[below])
            inner = inner.with_blocks([first, *inner.blocks[1:]])
        return dataclasses.replace(
            config, encoder=inner, predictor_width=kept[unit], joiner_width=kept["joiner.neurons"]
        )

    batch = make_batch()
    run = lambda model: model.outputs(batch)[0][1]  # noqa: E731
    assert_masked_equals_sliced(model_of(config), drop=drop, shrink=shrink, run=run)


def test_gradients_reach_everything_in_bfloat16_too():
    model = build_model(tiny_rnnt(), seed=0)
    objective = model.objective(num_characters=4, character_weight=0.3, seed=0)
    exact = objective(make_batch())[0]
    rounded, characters = objective(make_batch(), autocast_dtype=torch.bfloat16)
    # bfloat16 keeps 8 bits of mantissa; a few layers leave about a percent.
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)
    assert rounded.dtype == characters.dtype == torch.float32
    rounded.backward()
    assert [name for name, value in objective.named_parameters() if value.grad is None] == []


@BOTH
def test_config_round_trip_and_impossible_values(encoder, predictor):
    config = tiny_rnnt(encoder=encoder, predictor=predictor)
    value = config.to_json()
    assert RnntConfig.from_json(value) == config
    assert value["encoder"]["name"] == encoder
    assert make_model(config).joiner.encoder.in_features == 16
    for changes in ({"vocab_size": 0}, {"context": 0}, {"predictor": "oracle"}, {"dropout": -0.1}):
        with pytest.raises(ConfigError):
            dataclasses.replace(config, **changes)
    for wrong in ({}, [], value | {"encoder": 3}, value | {"encoder": {"name": "rnn"}}, value | {"unknown": 1}):
        with pytest.raises(ConfigError):
            RnntConfig.from_json(wrong)
