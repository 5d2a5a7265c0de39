"""Training speed: audio-seconds a second of forward + backward + optimiser step, beside torchaudio's Conformer.

    python -m benchmarks.train_speed

Both models have the same width, depth, heads, feed-forward width, kernel, dropout, subsampling front end, CTC head,
optimiser, clipping, and see the same batches. Steps are interleaved in one process, at bfloat16 autocast and float32,
on one thread and on two. The main figure compares each at the precision it is trained with by default: ours in bfloat16
where the CPU multiplies it natively, torchaudio's in float32 as it comes; the figures at equal precision stand beside.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.results import write_result
from lottery_train.config import ModelConfig, TrainConfig
from lottery_train.distributed import has_fast_bfloat16
from lottery_train.models import build_model, count_weights, dense_config
from lottery_train.models.layers import Subsampling
from lottery_train.torchaudio_import import import_torchaudio
from runtime.command import run_command
from runtime.features import ENCODER_FRAME_MS, padded_frames
from runtime.options import create_parser, positive_int
from runtime.table import Table, number

VOCAB_SIZE = 28
# Utterances a batch, encoder frames (40 ms) each, multiples of every chunk: AN4's usual batch, and a long-form one.
SHAPES = ((6, 96), (2, 320))
WARM_UP_STEPS = 3


class Reference(nn.Module):
    """torchaudio's Conformer between our subsampling and a CTC head."""

    def __init__(self, model):
        super().__init__()
        self.subsampling = Subsampling(num_mels=80, stem_width=model.stem_width, model_width=model.model_width)
        self.conformer = import_torchaudio().models.Conformer(
            input_dim=model.model_width,
            num_heads=model.heads,
            ffn_dim=model.ff,
            num_layers=model.num_blocks,
            depthwise_conv_kernel_size=model.conv_kernel,
            dropout=model.dropout,
        )
        self.head = nn.Linear(model.model_width, VOCAB_SIZE)

    def forward(self, x_BTF, *, chunk):
        """Return (B, T, V) log-probabilities; attention sees the whole utterance, whatever the chunk."""
        x = self.subsampling(x_BTF)
        x, _ = self.conformer(x, torch.full((len(x),), x.shape[1]))
        return torch.log_softmax(self.head(x).float(), -1)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One model at one precision, with its optimiser.

    Args:
        name: "ours" or "torchaudio".
        precision: "bfloat16" (autocast) or "float32".
        is_deterministic: our training demands deterministic kernels, because its resume is exact.
    """

    name: str
    precision: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    is_deterministic: bool

    def step(self, batch, *, chunk, max_gradient_norm):
        """Run one training step and return its seconds."""
        features_BTF, targets_BU, input_lengths, target_lengths = batch
        torch.use_deterministic_algorithms(self.is_deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            logprobs_BTV = self.model(features_BTF, chunk=chunk)
        loss = nn.functional.ctc_loss(
            logprobs_BTV.transpose(0, 1), targets_BU, input_lengths, target_lengths, zero_infinity=True
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), max_gradient_norm)
        self.optimizer.step()
        return time.perf_counter() - start


def make_contenders(model, train):
    """Return the four Contenders: ours and torchaudio's, in bfloat16 and in float32."""
    found = []
    for precision in ("bfloat16", "float32"):
        for name in ("ours", "torchaudio"):
            is_ours = name == "ours"
            network = build_model(dense_config(model, vocab_size=VOCAB_SIZE), seed=0) if is_ours else Reference(model)
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=train.weight_decay, fused=True
            )
            found.append(
                Contender(
                    name=name,
                    precision=precision,
                    model=network.train(),
                    optimizer=optimizer,
                    is_deterministic=is_ours,
                )
            )
    return found


def make_batch(num_utterances, num_frames):
    """Return random features and targets: (features_BTF, targets_BU, input_lengths, target_lengths)."""
    generator = torch.Generator().manual_seed(0)
    features_BTF = torch.randn(num_utterances, padded_frames(1, chunk_frames=num_frames), 80, generator=generator)
    # Spelled speech: about 12 symbols a second.
    num_symbols = num_frames // 2
    targets_BU = torch.randint(1, VOCAB_SIZE, (num_utterances, num_symbols), generator=generator)
    lengths = torch.full((num_utterances,), num_frames), torch.full((num_utterances,), num_symbols)
    return features_BTF, targets_BU, *lengths


def measure_shape(contenders, *, shape, threads, repeats, train):
    """Time interleaved steps of all contenders on one batch shape.

    Each round takes one step with each contender, in rotating order; the chunk changes from round to round, as in
    training, and a contender's speed is that of its median step of each chunk length.

    Returns:
        list of dicts, one a contender: name, precision, threads, batch, step_ms, audio_s_per_s.
    """
    torch.set_num_threads(threads)
    batch = make_batch(*shape)
    audio_s = shape[0] * shape[1] * ENCODER_FRAME_MS / 1000
    times = {(index, chunk): [] for index in range(len(contenders)) for chunk in train.chunk_frames}
    for round_number in range(-WARM_UP_STEPS, repeats * len(train.chunk_frames)):
        chunk = train.chunk_frames[round_number % len(train.chunk_frames)]
        for position in range(len(contenders)):
            index = (position + round_number) % len(contenders)
            seconds = contenders[index].step(batch, chunk=chunk, max_gradient_norm=train.max_gradient_norm)
            if round_number >= 0:
                times[index, chunk].append(seconds)
    rows = []
    for index, contender in enumerate(contenders):
        step_s = statistics.mean(statistics.median(times[index, chunk]) for chunk in train.chunk_frames)
        rows.append(
            {
                "name": contender.name,
                "precision": contender.precision,
                "threads": threads,
                "utterances": shape[0],
                "utterance_s": shape[1] * ENCODER_FRAME_MS / 1000,
                "step_ms": 1e3 * step_s,
                "fastest_step_ms": 1e3 * min(min(times[index, chunk]) for chunk in train.chunk_frames),
                "audio_s_per_s": audio_s / step_s,
            }
        )
    return rows


def compare(rows):
    """Return one dict a (threads, batch): our speed over torchaudio's, at default and at equal precisions."""
    ours_default = "bfloat16" if has_fast_bfloat16(torch.device("cpu")) else "float32"
    found = []
    for threads, utterances, utterance_s in dict.fromkeys(
        (row["threads"], row["utterances"], row["utterance_s"]) for row in rows
    ):
        speed = {
            (row["name"], row["precision"]): row["audio_s_per_s"]
            for row in rows
            if (row["threads"], row["utterances"]) == (threads, utterances)
        }
        found.append(
            {
                "threads": threads,
                "utterances": utterances,
                "utterance_s": utterance_s,
                "ours_default_precision": ours_default,
                "speedup_default_precisions": speed["ours", ours_default] / speed["torchaudio", "float32"],
                "speedup_both_bfloat16": speed["ours", "bfloat16"] / speed["torchaudio", "bfloat16"],
                "speedup_both_float32": speed["ours", "float32"] / speed["torchaudio", "float32"],
            }
        )
    return found


def _batch(row):
    return f"{row['utterances']} x {row['utterance_s']:.1f} s"


def _print(rows, comparisons):
    header = ("model", "precision", "threads", "batch", "step ms", "audio-s a s")
    cells = (
        (
            row["name"],
            row["precision"],
            str(row["threads"]),
            _batch(row),
            number(row["step_ms"], digits=1),
            number(row["audio_s_per_s"], digits=0),
        )
        for row in rows
    )
    print(Table(header=header, rows=tuple(cells), num_left=2).text(), end="\n\n")
    names = ("speedup_default_precisions", "speedup_both_bfloat16", "speedup_both_float32")
    header = ("batch", "threads", "default precisions", "both bfloat16", "both float32")
    cells = ((_batch(row), str(row["threads"]), *(number(row[name]) for name in names)) for row in comparisons)
    print("ours over torchaudio:", Table(header=header, rows=tuple(cells)).text(), sep="\n")


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.train_speed",
        description="Time a training step of our Conformer beside torchaudio's: benchmarks/results/train_speed.json.",
        examples="  python -m benchmarks.train_speed --repeats 20",
    )
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=10,
        metavar="N",
        help="rounds for each chunk length, batch shape and thread count (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="thread counts (default: 1 2); the summary is that of the largest",
    )
    parser.add_argument("--no-write", action="store_true", help="print the tables only")
    arguments = parser.parse_args(argv)
    model, train = ModelConfig(), TrainConfig()
    contenders = make_contenders(model, train)
    rows = []
    for threads in arguments.threads:
        for shape in SHAPES:
            print(
                f"timing {shape[0]} x {shape[1] * ENCODER_FRAME_MS / 1000:.1f} s on {threads} threads", file=sys.stderr
            )
            rows += measure_shape(contenders, shape=shape, threads=threads, repeats=arguments.repeats, train=train)
    comparisons = compare(rows)
    _print(rows, comparisons)
    if not arguments.no_write:
        _write(rows, comparisons, contenders=contenders, repeats=arguments.repeats, model=model)
    return 0


def _write(rows, comparisons, *, contenders, repeats, model):
    threads = max(row["threads"] for row in rows)
    main = next(row for row in comparisons if row["threads"] == threads)
    path = write_result(
        "train_speed",
        summary={
            "speedup_vs_torchaudio": main["speedup_default_precisions"],
            "speedup_vs_torchaudio_both_bfloat16": main["speedup_both_bfloat16"],
            "speedup_vs_torchaudio_both_float32": main["speedup_both_float32"],
        },
        details={
            "comparisons": comparisons,
            "rows": rows,
            "settings": {
                "repeats": repeats,
                "model": vars(model),
                "weights": {
                    "ours": count_weights(dense_config(model, vocab_size=VOCAB_SIZE)),
                    "torchaudio": sum(parameter.numel() for parameter in contenders[1].model.parameters()),
                },
            },
        },
        threads=threads,
        packages=("torch", "torchaudio"),
    )
    print(f"wrote {path}", file=sys.stderr)


def main(argv=None):
    """Run the benchmark; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
