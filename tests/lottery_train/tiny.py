"""Small models and a small corpus that every training test shares."""

import numpy as np
import soundfile
import torch

from lottery_train.config import DataConfig, ModelConfig, RunConfig, SearchConfig, TrainConfig
from lottery_train.corpora import Utterance, write_manifest
from lottery_train.metrics import read_metrics
from lottery_train.models import ConformerConfig, make_model

RATE_HZ = 16000
# Each word is a tone of its own: a model of a few thousand weights learns them in seconds.
TONES_HZ = {"a": 300, "b": 700, "c": 1500, "d": 3000}


def tiny_config(**fields):
    """Return the config of a two-block model whose blocks differ in nothing."""
    settings = {
        "num_blocks": 2,
        "ff": 24,
        "heads": 2,
        "conv": 16,
        "vocab_size": 6,
        "model_width": 16,
        "stem_width": 8,
        "head_width": 8,
        "conv_kernel": 7,
        "left_context_frames": 16,
        "max_chunk_frames": 8,
        "dropout": 0.0,
    }
    return ConformerConfig.uniform(**settings | fields)


def random_model(config, *, seed=0):
    """Return a Conformer in which nothing is zero or one by default: biases, gains and statistics are drawn too."""
    return drawn_model(config, seed=seed)


def drawn_model(config, *, seed=0, num_mels=None):
    """Return the same of any backbone; `num_mels` where the config itself has none."""
    torch.manual_seed(seed)
    model = make_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    num_mels = num_mels or config.num_mels
    model.set_normalisation(mean=np.full(num_mels, -8.0), deviation=np.full(num_mels, 3.0))
    return model


def timeless_metrics(folder):
    """Return the lines of a run's metrics.jsonl without what depends on how fast it was."""
    return [
        {key: value for key, value in line.items() if key != "audio_s_per_s"}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def write_tones(folder, *, num_train=24, num_dev=4, num_test=4, seed=0):
    """Write a corpus of tone words and return its folder."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", num_train), ("dev", num_dev), ("test", num_test)):
        utterances = []
        for number in range(count):
            words = rng.choice(list(TONES_HZ), size=rng.integers(1, 4))
            parts = [np.zeros(1600)]
            for word in words:
                time_s = np.arange(4800) / RATE_HZ
                parts += [0.3 * np.sin(2 * np.pi * TONES_HZ[word] * time_s), np.zeros(1600)]
            samples = np.concatenate(parts) + rng.standard_normal(sum(map(len, parts))) * 1e-3
            path = folder / "audio" / f"{split}_{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples.astype(np.float32), RATE_HZ)
            utterances.append(Utterance(audio_path=path, duration_s=len(samples) / RATE_HZ, text=" ".join(words)))
        write_manifest(folder / f"{split}.jsonl", utterances=utterances)
    return folder


_TINY_CONFORMER = {
    "num_blocks": 2, "model_width": 16, "stem_width": 8, "ff": 24, "heads": 2, "head_width": 8, "conv": 16,
    "conv_kernel": 7, "left_context_frames": 16,
}  # fmt: skip
_TINY_LSTM = {"cnn_channels": (4, 8), "lstm_layers": 2, "lstm_width": 16}
_TINY_JOINER = {"embedding_width": 8, "predictor_width": 16, "joiner_width": 16}
TINY_MODELS = {
    "cnn-lstm": _TINY_LSTM,
    "conformer": _TINY_CONFORMER,
    "rnnt": _TINY_CONFORMER | _TINY_LSTM | _TINY_JOINER,
}


def tiny_run(*, backbone="conformer", **search):
    """Return the settings of a run on the tone corpus that takes a second or two a level."""
    return RunConfig(
        data=DataConfig(corpus="tones", speeds=(1.0,)),
        model=ModelConfig(backbone=backbone, **TINY_MODELS.get(backbone, {}), dropout=0.1),
        train=TrainConfig(
            epochs=3,
            batch_s=6.0,
            chunk_frames=(4, 8),
            eval_chunk_frames=8,
            num_evaluations=2,
            average_best=2,
            warmup_epochs=1.0,
        ),
        search=SearchConfig(**{"rounds": 1, "rate": 0.5, "rewind": "step", "rewind_steps": 2} | search),
    )
