"""Everything that decides a run, as frozen data: what `runs/<name>/config.json` holds.

`lottery-train --help` shows what the docstrings say here, and a wrong value is refused here, whoever sets it.
"""

import re
from dataclasses import asdict, dataclass, field, fields

from lottery_train.errors import ConfigError
from lottery_train.settings import Settings, choice
from runtime.errors import require_extra
from runtime.foreign import short

# What a ticket must beat; `lottery_train.controls` trains them.
CONTROLS = {
    "dense-longer": "the dense model, trained on for as many epochs as all levels up to the ticket's had",
    "dense-small": "a dense model with as many weights as the ticket has non-zeros",
    "no-rewinding": "the ticket's mask, its parent's trained weights, fine-tuned",
    "random-pruning": "as many weights, chosen by chance, from the rewind point or the dense model's weights; for a "
    "method of one training the same training, chance ranking the weights",
    "random-ticket": "the ticket's mask, other first weights",
}


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """The corpus and what happens to its audio before training.

    Args:
        corpus: name of the corpus: embedded, one that `lottery-train import` knows, or a folder of manifests
            below --data-dir; a mix is names joined by +, an4*2+fsdd takes an4 twice.
        tokens: char; bpe:N or unigram:N for N sentencepiece units; init to go on with the whole model of the ticket in
            train.init_from, its tokens, output layer and feature statistics included.
        speeds: speed factors; each gives one cached copy of the training audio.
        noise: manifest of noise recordings, or null.
        noise_snrs_db: signal-to-noise ratios to draw from, dB.
        num_noise_copies: noisy copies beside the clean one, for each speed.
        num_room_copies: copies with the reverberation of a drawn room, for each speed; with noise as well where there
            is noise.
        negatives: speech and sounds that the recogniser must not answer to: manifests (*.jsonl) or names of corpora,
            separated by commas, such as negatives (synthetic, made on the spot). Texts in them are ignored.
        negatives_share: negatives as a share of the audio of every epoch, at most.
        max_utterance_s: longer training utterances are skipped and counted.
    """

    part = "data"

    corpus: str = "embedded"
    tokens: str = "char"
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    noise: str | None = None
    noise_snrs_db: tuple[float, ...] = (20.0, 10.0, 5.0)
    num_noise_copies: int = 1
    num_room_copies: int = 0
    negatives: str | None = None
    negatives_share: float = 0.3
    max_utterance_s: float = 25.0

    def __post_init__(self):
        self.check_types()
        self.require("corpus", self.corpus, "the name of a corpus")
        is_known = re.fullmatch(r"char|init|(bpe|unigram):[1-9]\d{0,4}", self.tokens)
        self.require("tokens", is_known, "char, bpe:N, unigram:N or init")
        is_in_range = all(0.5 <= speed <= 2 for speed in self.speeds)
        self.require("speeds", self.speeds and is_in_range, "one or more numbers from 0.5 to 2")
        self.require("noise_snrs_db", self.noise_snrs_db, "one or more numbers")
        self.require("num_noise_copies", self.num_noise_copies >= 1, "at least 1")
        self.require("num_room_copies", self.num_room_copies >= 0, "at least 0")
        self.require("negatives_share", 0 < self.negatives_share < 1, "more than 0 and less than 1")
        self.require("max_utterance_s", self.max_utterance_s > 0, "more than 0")


class ModelConfig:
    """The settings of a backbone: `ModelConfig(backbone="rnnt", joiner_width=256)` is that backbone's own dataclass.

    Raises:
        ConfigError: unknown backbone, or a value is of another type or out of range.
        MissingExtraError: torch is not installed, which defines the backbones.
    """

    def __new__(cls, **fields):
        return cls.of(fields)(**fields)

    @staticmethod
    def of(fields):
        """Return the `ModelSettings` class that fields belong to: a backbone is named, or the first one is meant."""
        registry = require_extra("lottery_train.models.registry", extra="train")
        return registry.load_backbone(fields.get("backbone", registry.FIRST_BACKBONE)).Settings


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
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
        character_weight: share of the character loss (CTC) half-way up the model, see `lottery_train.objective`.
        gain_range_db: [low, high] of a random gain on every training example: recognition must not depend on level.
        perturb_probability: chance that a training utterance gets another tempo, vocal tract and channel, see
            `lottery_train.perturb`.
        augmentation_loss: [high, low]: SpecAugment and joining ramp in as the best epoch's loss falls from high to
            low; from the start they keep CTC on its blank plateau for dozens of epochs.
        spec_augment_probability: chance that SpecAugment hides parts of a batch, once it is ramped in.
        average_best: checkpoints averaged at the end, the best by dev WER.
        num_evaluations: dev evaluations, spread over the second half of the training.
        init_from: ticket directory whose weights the dense training starts from, where shapes agree; null draws all.
        keeps_init_mask: whether level 0 also wears the mask of the ticket in init_from (a ticket transferred from
            another corpus); tensors that belong to the tokens stay dense. Goes without rounds.
        precision: of the matrix products.
        seed: of weights, order and augmentation.
    """

    part = "train"

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
    gain_range_db: tuple[float, float] = (-40.0, 20.0)
    perturb_probability: float = 0.0
    augmentation_loss: tuple[float, float] = (1.2, 0.6)
    spec_augment_probability: float = 1.0
    average_best: int = 5
    num_evaluations: int = 10
    init_from: str | None = None
    keeps_init_mask: bool = False
    precision: str = choice(
        "auto",
        {
            "auto": "bfloat16 where the hardware multiplies it natively, float32 elsewhere",
            "bfloat16": "autocast",
            "float32": "everywhere",
        },
    )
    seed: int = 0

    def __post_init__(self):
        self.check_types()
        for name in ("epochs", "eval_chunk_frames", "average_best", "num_evaluations"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("batch_s", "learning_rate", "max_gradient_norm"):
            self.require(name, getattr(self, name) > 0, "more than 0")
        for name in ("warmup_epochs", "weight_decay", "sorted_epochs"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("join_probability", "character_weight"):
            self.require(name, 0 <= getattr(self, name) < 1, "at least 0 and less than 1")
        for name in ("perturb_probability", "spec_augment_probability"):
            self.require(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        low, high = self.gain_range_db
        self.require("gain_range_db", -60 <= low <= high <= 60, "[low, high] within -60 to 60")
        is_positive = self.chunk_frames and min(self.chunk_frames) >= 1
        self.require("chunk_frames", is_positive, "one or more integers of at least 1")
        high, low = self.augmentation_loss
        self.require("augmentation_loss", high > low, "[high, low] with high above low")
        self.require("seed", 0 <= self.seed < 2**63, "0 to 2^63 - 1")
        has_mask = self.init_from is not None or not self.keeps_init_mask
        self.require("keeps_init_mask", has_mask, "false without train.init_from, the ticket whose mask would be kept")


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Settings):
    """The search for a ticket.

    Args:
        rounds: prunings; the iterative run has rounds + 1 levels, the other methods make one ticket of this level.
        method: how rounds and training go together.
        ramp: [first, last] share of the epochs between which the rounds of method gradual fall; method early-bird
            draws its mask at the last one at the latest.
        early_bird_distance: method early-bird draws its mask once it differs from those of the five epochs before in
            less than this share of the prunable weights; masks of density d differ in 2 d at most, so a low density
            wants less.
        distillation: share of the divergence from level 0's symbol probabilities in the loss of every later training;
            methods of one training train level 0 first for it.
        schedule: how the rate goes on from round to round, and from layer to layer.
        rate: share of the remaining weights that a round removes (the first round, where the rate decays).
        decay: factor on the rate, round by round (decaying forms).
        granularity: what is removed as a whole [weight: single weights; block:RxC: R outputs by C inputs, such as
            block:1x4; unit: attention heads, feed-forward neurons, convolution channels and LSTM units;
            `lottery-export --structured` shrinks those of a Conformer].
        scope: which layers are pruned beside LSTMs, which always are.
        criterion: what is removed first.
        rewind: where the weights of every level after the dense one start (method iterative).
        rewind_steps: optimiser steps after which rewind `step` takes its rewind point.
        level_epochs: epochs of every level after the dense one (method iterative); null is as many as that has.
        can_remove_groups: whether a feed-forward, attention or convolution module may lose its last units too and go
            as a whole (granularity unit); otherwise the smallest ones set a floor to the density.
        balances_kinds: whether heads, neurons, channels and LSTM units are each pruned at the same rate (granularity
            unit), not ranked together: heads seldom rank low, yet cost more time than their weights tell.
    """

    part = "search"

    rounds: int = 6
    method: str = choice(
        "iterative",
        {
            "iterative": "a training for every level, pruned, rewound, trained again (the paper)",
            "gradual": "one training, pruned round by round on the way (Zhu & Gupta 2017)",
            "early-bird": "one training, pruned once as soon as the mask settles (You et al. 2020)",
        },
    )
    ramp: tuple[float, float] = (0.1, 0.7)
    early_bird_distance: float = 0.1
    distillation: float = 0.0
    schedule: str = choice(
        "constant",
        {
            "constant": "the same rate every round (the paper)",
            "decaying": "rate * decay^(t - 1) in round t",
            "layerwise": "constant, the first, middle and last third of the weights at 1.1, 1.0, 0.9 times the rate",
            "layerwise-decaying": "layerwise on decaying",
            "layerwise-modules": "layerwise, thirds counted in modules, as the original code does",
            "layerwise-modules-decaying": "layerwise-modules on decaying",
        },
    )
    rate: float = 0.2
    decay: float = 0.9
    granularity: str = "weight"
    scope: str = choice(
        "pointwise", {"linear": "linear layers (the paper)", "pointwise": "linear layers and pointwise convolutions"}
    )
    criterion: str = choice(
        "magnitude",
        {
            "lamp": "the smallest magnitudes within their layer (Lee et al. 2021)",
            "magnitude": "the smallest magnitudes (the paper)",
            "random": "chance decides",
        },
    )
    rewind: str = choice(
        "init",
        {
            "init": "at the first weights (the paper)",
            "learning-rate": "where they are, the learning-rate schedule starts again",
            "none": "where they are, at a tenth of the peak learning rate",
            "step": "at the state after rewind_steps",
        },
    )
    rewind_steps: int = 200
    level_epochs: int | None = None
    can_remove_groups: bool = False
    balances_kinds: bool = False

    @property
    def is_one_training(self):
        """Whether a ticket of any level is found in one training, without those of the levels before."""
        return self.method != "iterative"

    def unit_options(self):
        """Return the options of `lottery_train.pruning.make_granularity` that these settings ask for."""
        return {"allow_empty": self.can_remove_groups, "balances_kinds": self.balances_kinds}

    def __post_init__(self):
        self.check_types()
        for name in ("rounds", "rewind_steps"):
            self.require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("rate", "decay"):
            self.require(name, 0 < getattr(self, name) < 1, "more than 0 and less than 1")
        is_known = re.fullmatch(r"weight|unit|block:[1-9]\d{0,3}x[1-9]\d{0,3}", self.granularity)
        self.require("granularity", is_known, "weight, unit, or block:RxC such as block:1x4")
        self.require("level_epochs", self.level_epochs is None or self.level_epochs >= 1, "at least 1, or null")
        first, last = self.ramp
        self.require("ramp", 0 <= first <= last <= 1, "[first, last] with 0 <= first <= last <= 1")
        is_share = 0 < self.early_bird_distance <= 1
        self.require("early_bird_distance", is_share, "more than 0 and at most 1")
        self.require("distillation", 0 <= self.distillation < 1, "at least 0 and less than 1")


def unfit_control(search, name):
    """Return why a control has nothing to say beside the tickets of a SearchConfig, or None."""
    if name == "no-rewinding" and search.is_one_training:
        return f"method {search.method} rewinds nothing, its ticket has no parent"
    if name == "dense-longer" and search.is_one_training:
        return f"method {search.method} trains no longer than the dense model"
    if name == "dense-longer" and search.rewind in ("init", "step"):
        return f"rewind {search.rewind} trains no weight longer than level 0 did"
    return None


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run: data, model, training, search."""

    data: DataConfig = field(default_factory=DataConfig)
    model: Settings = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self):
        has_source = self.train.init_from is not None or self.data.tokens != "init"
        self.data.require("tokens", has_source, "another value without train.init_from, the ticket to go on with")

    def to_json(self):
        """Return plain dicts and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, value):
        """Rebuild a config read from a file.

        Raises:
            ConfigError: unknown fields, or values of another type or out of range.
        """
        parts = {item.name: item.default_factory for item in fields(cls)}
        _check_names(cls, value, known=parts)
        model = value.get("model")
        parts["model"] = ModelConfig.of(model if isinstance(model, dict) else {})
        for name, part in value.items():
            _check_names(parts[name], part, known=[item.name for item in fields(parts[name])])
        return cls(**{name: parts[name](**part) for name, part in value.items()})


def _check_names(cls, value, *, known):
    if not isinstance(value, dict) or not set(value) <= set(known):
        raise ConfigError(
            f"{cls.__name__}: expected an object with fields among {', '.join(known)}, found {short(value)}"
        )
