"""Everything that decides a run, as frozen data: what `runs/<name>/config.json` holds."""

import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass

from lottery_train.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The corpus and what happens to its audio before training.

    Args:
        corpus: registry name of the corpus (`embedded`, `an4`, …).
        tokens: `char`, or `bpe:N` or `unigram:N` for N sentencepiece units.
        speeds: speed factors; each gives one cached copy of the training audio.
        noise: manifest of noise recordings, or None.
        noise_snrs_db: signal-to-noise ratios to draw from, dB.
        num_noise_copies: noisy copies beside the clean one, for each speed.
        max_utterance_s: longer training utterances are skipped and counted.
    """

    corpus: str = "embedded"
    tokens: str = "char"
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    noise: str | None = None
    noise_snrs_db: tuple[float, ...] = (20.0, 10.0, 5.0)
    num_noise_copies: int = 1
    max_utterance_s: float = 25.0

    def __post_init__(self):
        _require(all(0.5 <= speed <= 2 for speed in self.speeds) and self.speeds, "speeds", self.speeds, "0.5 … 2")
        is_known = re.fullmatch(r"char|(bpe|unigram):[1-9]\d{0,4}", self.tokens)
        _require(is_known, "tokens", self.tokens, "char, bpe:N or unigram:N")
        _require(self.num_noise_copies >= 1, "num_noise_copies", self.num_noise_copies, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Dense widths; see `lottery_train.models.config.ConformerConfig` for the meaning of each."""

    num_blocks: int = 4
    model_width: int = 128
    stem_width: int = 64
    ff: int = 448
    heads: int = 4
    head_width: int = 32
    conv: int = 128
    conv_kernel: int = 15
    left_context_frames: int = 64
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training.

    Args:
        epochs: passes over the training set.
        batch_s: padded audio seconds a batch (on each process).
        learning_rate: peak of the schedule (linear warm-up, cosine to zero).
        warmup_epochs: length of the warm-up, in epochs.
        weight_decay: AdamW's.
        max_gradient_norm: clipping.
        sorted_epochs: first epochs that go from the shortest utterances to the longest: CTC learns to align sooner
            (Amodei et al. 2016, SortaGrad).
        chunk_frames: chunk lengths (40 ms frames) to draw from, one a batch.
        eval_chunk_frames: chunk length of every evaluation and of the export: 16 is 640 ms.
        join_probability: chance that an utterance is joined with another into one training example.
        character_weight: share of the character loss half-way up the model, see `lottery_train.objective`.
        gain_db: loudness is varied by up to this much, either way.
        augmentation_loss: (high, low): SpecAugment and joining ramp in as the best epoch's loss falls from high to low;
            from the start they keep CTC on its blank plateau for dozens of epochs.
        average_best: checkpoints averaged at the end, the best by dev WER.
        num_evaluations: dev evaluations, spread over the second half of the training.
        init_from: ticket directory whose weights the dense training starts from, where shapes agree; None draws all.
        precision: `auto` (bfloat16 where the hardware multiplies it natively), `float32`, or `bfloat16`.
        seed: of weights, order and augmentation.
    """

    epochs: int = 40
    batch_s: float = 24.0
    learning_rate: float = 2e-3
    warmup_epochs: float = 2.0
    weight_decay: float = 1e-2
    max_gradient_norm: float = 5.0
    sorted_epochs: int = 2
    chunk_frames: tuple[int, ...] = (8, 16, 32)
    eval_chunk_frames: int = 16
    join_probability: float = 0.3
    character_weight: float = 0.3
    gain_db: float = 6.0
    augmentation_loss: tuple[float, float] = (1.2, 0.6)
    average_best: int = 5
    num_evaluations: int = 10
    init_from: str | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self):
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_s > 0, "batch_s", self.batch_s, "more than 0")
        _require(self.chunk_frames and min(self.chunk_frames) >= 1, "chunk_frames", self.chunk_frames, "positive")
        _require(0 <= self.join_probability < 1, "join_probability", self.join_probability, "0 … 1")
        _require(self.average_best >= 1, "average_best", self.average_best, "at least 1")
        _require(self.num_evaluations >= 1, "num_evaluations", self.num_evaluations, "at least 1")
        precisions = ("auto", "bfloat16", "float32")
        _require(self.precision in precisions, "precision", self.precision, " or ".join(precisions))


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search for a ticket.

    Args:
        rounds: prunings; the run has rounds + 1 levels.
        schedule: `constant`, `decaying`, `layerwise`, `layerwise-modules`, and the decaying forms of both layerwise
        ones.
        rate: share of the remaining weights that a round removes.
        decay: factor on the rate, round by round (decaying forms).
        granularity: `weight`, `block:RxC`, or `unit`.
        scope: `linear` (the paper) or `pointwise` (linear and pointwise convolutions).
        criterion: `magnitude`, `lamp`, or `random`.
        rewind: `init` (the paper: to the first weights), `step` (to the state after `rewind_steps`), `learning-rate`
            (weights stay, the schedule starts again), or `none` (weights stay, a tenth of the peak learning rate).
        rewind_steps: optimiser steps after which `step` takes its rewind point.
        level_epochs: epochs of every level after the dense one; None is as many as the dense one has.
    """

    rounds: int = 6
    schedule: str = "constant"
    rate: float = 0.2
    decay: float = 0.9
    granularity: str = "weight"
    scope: str = "pointwise"
    criterion: str = "magnitude"
    rewind: str = "init"
    rewind_steps: int = 200
    level_epochs: int | None = None

    def __post_init__(self):
        _require(self.rounds >= 0, "rounds", self.rounds, "at least 0")
        rewinds = ("init", "learning-rate", "none", "step")
        _require(self.rewind in rewinds, "rewind", self.rewind, " or ".join(rewinds))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run: data, model, training, search."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, value):
        """Rebuild a config read from a file.

        Raises:
            ConfigError: unknown fields or values out of range.
        """
        return _from_json(cls, value)


def _from_json(cls, value):
    known = {item.name: item for item in fields(cls)}
    if not isinstance(value, dict) or not set(value) <= set(known):
        raise ConfigError(f"{cls.__name__}: expected an object with fields among {', '.join(known)}, found {value!r}")
    default = cls()
    arguments = {}
    for name, part in value.items():
        before = getattr(default, name)
        if is_dataclass(before):
            part = _from_json(type(before), part)
        elif isinstance(part, list):
            part = tuple(part)
        arguments[name] = part
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{cls.__name__}: {error}") from error


def _require(is_good, name, value, expected):
    if not is_good:
        raise ConfigError(f"{name} is {value!r}, expected {expected}")
