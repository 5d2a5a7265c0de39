"""Named settings to start from: each preset is a function that returns a full `RunConfig`."""

from lottery_train.config import DataConfig, ModelConfig, RunConfig, SearchConfig, TrainConfig
from lottery_train.errors import ConfigError


def embedded():
    """The embedded corpus, small enough for a few minutes on two cores: unit tickets that export shrinks."""
    return RunConfig(
        data=DataConfig(corpus="embedded", tokens="unigram:90", speeds=(1.0,)),
        model=ModelConfig(num_blocks=3, model_width=96, stem_width=48, ff=256, heads=4, head_width=24, conv=96),
        train=TrainConfig(epochs=26, batch_s=12.0, num_evaluations=3, average_best=3),
        search=SearchConfig(rounds=2, rate=0.4, granularity="unit", rewind="learning-rate", level_epochs=5),
    )


def _an4_dense():
    """AN4's words are few and short: pieces that are whole words spell better than characters do."""
    return DataConfig(corpus="an4", tokens="unigram:100"), TrainConfig(epochs=70)


def an4():
    """AN4, unit tickets (heads, neurons, convolution channels), which `lottery-export --structured` shrinks."""
    data, train = _an4_dense()
    search = SearchConfig(
        rounds=7, rate=0.25, granularity="unit", balances_kinds=True, rewind="learning-rate", level_epochs=10
    )
    return RunConfig(data=data, train=train, search=search)


def an4_unstructured():
    """AN4, single weights: fewer non-zeros than unit tickets at the same error rate, and no faster in onnxruntime."""
    data, train = _an4_dense()
    search = SearchConfig(rounds=6, rate=0.36, rewind="learning-rate", level_epochs=12)
    return RunConfig(data=data, train=train, search=search)


def an4_cnn_lstm():
    """AN4, CNN-LSTM-CTC in the manner of DeepSpeech 2, one direction, so that it could stream; single weights."""
    data, train = _an4_dense()
    search = SearchConfig(rounds=6, rate=0.36, rewind="learning-rate", level_epochs=12)
    return RunConfig(data=data, model=ModelConfig(backbone="cnn-lstm"), train=train, search=search)


def an4_rnnt():
    """AN4, RNN-Transducer: a streaming Conformer, a predictor of two symbols, a joiner; single weights.

    Start its encoder from a CTC ticket: --set train.init_from=runs/an4/level_00.
    """
    data, train = _an4_dense()
    search = SearchConfig(rounds=6, rate=0.36, rewind="learning-rate", level_epochs=12)
    return RunConfig(data=data, model=ModelConfig(backbone="rnnt"), train=train, search=search)


def mini_librispeech():
    """Mini LibriSpeech, five hours of read English; its official download is found by name."""
    return RunConfig(
        data=DataConfig(corpus="mini_librispeech", speeds=(1.0,), tokens="bpe:256"),
        model=ModelConfig(num_blocks=6, ff=512),
        train=TrainConfig(epochs=40, batch_s=60.0, join_probability=0.0),
        search=SearchConfig(rounds=6, rate=0.36, rewind="step", rewind_steps=500),
    )


def paper():
    """Audio Lottery's own search on AN4: Linear layers only, 20 % a round, 20 rounds, rewound to the first weights."""
    data, train = _an4_dense()
    return RunConfig(data=data, train=train, search=SearchConfig(rounds=20, rate=0.2, scope="linear", rewind="init"))


def shipped():
    """The bundled recogniser, first stage: letters, digits, numbers and commands, from every suitable pack."""
    return RunConfig(
        data=DataConfig(
            corpus="an4*2+fsdd+coffee_commands+asterisk_en+embedded",
            tokens="unigram:200",
            noise_snrs_db=(20.0, 15.0, 10.0),
            max_utterance_s=17.0,
        ),
        train=TrainConfig(epochs=30, batch_s=32.0, num_evaluations=6),
        search=SearchConfig(
            rounds=1, rate=0.45, granularity="unit", balances_kinds=True, rewind="learning-rate", level_epochs=20
        ),
    )


def shipped_robust():
    """The bundled recogniser, second stage: at any level, in noise and rooms, silent where it is not meant.

    Goes on with a ticket of the first stage (docs/shipped.md): --set train.init_from=TICKET.
    """
    return RunConfig(
        data=DataConfig(
            corpus="an4*2+fsdd+coffee_commands+embedded+flite",
            tokens="unigram:200",
            speeds=(1.0,),
            num_room_copies=1,
            noise_snrs_db=(25.0, 20.0, 15.0, 10.0, 5.0),
            negatives="mini_librispeech,negatives",
            negatives_share=0.33,
            max_utterance_s=17.0,
        ),
        train=TrainConfig(
            epochs=17,
            batch_s=32.0,
            learning_rate=9e-4,
            warmup_epochs=0.3,
            sorted_epochs=0,
            chunk_frames=(16,),
            character_weight=0.15,
            gain_range_db=(-45.0, 20.0),
            perturb_probability=0.5,
            augmentation_loss=(9.0, 8.0),
            spec_augment_probability=0.1,
            average_best=4,
            num_evaluations=5,
        ),
        search=SearchConfig(rounds=0, granularity="unit", balances_kinds=True, rewind="learning-rate"),
    )


PRESETS = {
    "an4": an4,
    "an4-cnn-lstm": an4_cnn_lstm,
    "an4-rnnt": an4_rnnt,
    "an4-unstructured": an4_unstructured,
    "embedded": embedded,
    "mini_librispeech": mini_librispeech,
    "paper": paper,
    "shipped": shipped,
    "shipped-robust": shipped_robust,
}


def preset(name):
    """Return the settings of a preset; ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"preset is {name!r}, expected one of: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]()
