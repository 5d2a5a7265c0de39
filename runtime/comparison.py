"""Bundles side by side: what each is, how it compares with the dense one, and what zeros do not buy.

A *row* is a dict of JSON values: one bundle at one precision in one backend, with what was measured of it.
"""

import itertools
import math

from runtime.fields import MAX_TEXT_CHARACTERS
from runtime.latency import percentiles
from runtime.manifest import MODEL_ROLES, TICKET_ROLE
from runtime.plots import Series
from runtime.table import Table, number

MASKED_NOTE = (
    "masked: the pruned weights are zeros inside full-size matrices, multiplied like any other number. Its time "
    "is measured and shown; a difference from dense is noise, not a speed-up. To shrink it: lottery-export --structured"
)
SPARSE_NOTE = "sparse: a masked model in the ticket engine, which holds and multiplies only the weights that are kept"

# On a machine with a free core the share was at most 0.004 (benchmarks/results/an4.json: wall and CPU time).
MAX_WAITED_SHARE = 0.05
MAX_PASS_SPREAD = 1.25
# A load average never quite gets to 0.
LOAD_MARGIN = 0.25


def describe_bundle(path, *, manifest, precision, backend="onnxruntime"):
    """Return the row of a bundle before anything is measured.

    Args:
        path: as the user gave it.
        manifest: its Manifest.
        precision: "fp32" or "int8"; the bundle has it.
        backend: "onnxruntime" or "engine"; the bundle has a model for it.
    """
    told = manifest.provenance
    model = manifest.files[TICKET_ROLE if backend == "engine" else MODEL_ROLES[precision]]
    kind = _kind(told)
    if kind == "masked" and backend == "engine" and _skips_zeros(manifest):
        kind = "sparse"
    return {
        "bundle": manifest.name,
        "path": str(path),
        "kind": kind,
        "precision": precision,
        "backend": backend,
        "chunk_frames": manifest.chunk_frames,
        **{name: _figure(told.get(name)) for name in ("density", "level", "num_weights", "num_nonzeros")},
        "told_test_wer": _told_test_wer(told),
        "told_corpus": _told_corpus(told),
        "model_sha256": model.sha256,
        "model_bytes": model.bytes,
        "bundle_bytes": sum(entry.bytes for entry in manifest.files.values()),
    }


def _figure(value):
    """Return a finite number >= 0 of the manifest's free-form provenance, or None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < math.inf else None


def _told_test_wer(told):
    """Return the test WER that the ticket's evaluation found, float32 and before any export; None where not told."""
    for name in ("wer", "test", "wer"):
        told = told.get(name) if isinstance(told, dict) else None
    return _figure(told)


def _told_corpus(told):
    """Return the name of the corpus whose test split gave the told WER; None where it is not told."""
    corpus = told.get("corpus")
    is_name = isinstance(corpus, str) and corpus.isprintable() and 0 < len(corpus) <= MAX_TEXT_CHARACTERS
    return corpus if is_name and corpus != "unknown" else None


def _kind(told):
    """Return "dense", "dense-small", "masked", "shrunk", or "unknown" for a bundle whose origin is not told."""
    density, level = _figure(told.get("density")), _figure(told.get("level"))
    if density is None:
        return "unknown"
    if density >= 1:
        # The control beside a ticket: nothing pruned, yet it stands at the ticket's level.
        return "dense-small" if level else "dense"
    return "shrunk" if told.get("structured") is True else "masked"


def _skips_zeros(manifest):
    """Whether the ticket file holds any matrix in a format that leaves zeros out."""
    return any(not name.startswith("dense") for name in manifest.engine["formats"].values())


def sort_rows(rows):
    """Return rows with fp32 first, then from most to fewest non-zero weights: a control stands beside its ticket.

    Rows that tell no count keep their order, behind the others.
    """

    def order(row):
        nonzeros, weights = row["num_nonzeros"], row["num_weights"]
        return row["precision"] != "fp32", nonzeros is None, -(nonzeros or 0), -(weights or 0)

    return sorted(rows, key=order)


def add_times(row, *, rounds):
    """Add the percentiles, real-time factor and CPU time of a row's clips, and how steady they were.

    `waited_share` is the share of the wall time in which no thread ran, `pass_spread` the median pass over the fastest.

    Args:
        row: changed in place.
        rounds: list of dicts with the fields of ClipTiming, one a round.
    """
    row["chunk_ms"] = percentiles([time for clip in rounds for time in clip["chunk_ms"]])
    row["model_ms"] = percentiles([time for clip in rounds for time in clip["model_ms"]])
    row["rtf"] = percentiles([clip["wall_s"] / clip["audio_s"] for clip in rounds])["p50"]
    row["cpu_s_per_audio_s"] = percentiles([clip["cpu_s"] / clip["audio_s"] for clip in rounds])["p50"]
    walls = [clip["wall_s"] for clip in rounds]
    row["waited_share"] = max(0.0, 1 - sum(clip["cpu_s"] for clip in rounds) / sum(walls))
    row["pass_spread"] = percentiles(walls)["p50"] / min(walls)


def add_ratios(rows):
    """Compare every row with the first dense one of its precision, in onnxruntime if there; rows are sorted and timed.

    Adds `baseline` (its bundle), `baseline_backend`, `chunk_time_ratio` and `model_time_ratio` (medians, this over
    baseline), and `speedup` (baseline over this, model time) for every row but masked ones, which get None: their zeros
    buy nothing.
    """
    for precision in {row["precision"] for row in rows}:
        group = [row for row in rows if row["precision"] == precision]
        dense = [row for row in group if row["kind"] == "dense"]
        baseline = next((row for row in dense if row["backend"] == "onnxruntime"), (dense or group)[0])
        for row in group:
            row["baseline"], row["baseline_backend"] = baseline["bundle"], baseline["backend"]
            for name in ("chunk", "model"):
                row[f"{name}_time_ratio"] = row[f"{name}_ms"]["p50"] / baseline[f"{name}_ms"]["p50"]
            row["speedup"] = None if row["kind"] == "masked" else 1 / row["model_time_ratio"]


def notes(rows, *, threads=1):
    """Return what a reader must know about these rows, measured with `threads`: one sentence group a string."""
    baselines = dict.fromkeys((row["baseline"], row["baseline_backend"]) for row in rows)
    found = [
        f"speed-up: median model time of {name} in {backend} at the same precision, over the row's"
        for name, backend in baselines
    ]
    if not any(row["kind"] == "dense" for row in rows):
        found.append("no dense bundle among them: speed-ups are against the largest one given")
    if any(row["kind"] == "masked" for row in rows):
        found.append(MASKED_NOTE)
    if any(row["kind"] == "sparse" for row in rows):
        found.append(SPARSE_NOTE)
    if threads > 1 and any(row["backend"] == "engine" for row in rows):
        found.append("the ticket engine runs a chunk on one thread, whatever --threads says")
    return [*found, *filter(None, [wer_note(rows)])]


def wer_note(rows):
    """Return what the column of error rates was measured on, or None where no row has one."""
    corpora = {}
    for row in rows:
        if row["told_test_wer"] is not None:
            corpora.setdefault(row["told_corpus"] or "an untold corpus", {})[row["bundle"]] = None
    if not corpora:
        return None
    where = "; ".join(f"{', '.join(bundles)} on {corpus}" for corpus, bundles in corpora.items())
    differ = ", so that they do not compare" if len(corpora) > 1 else ""
    return f"ticket WER: as its bundle tells, float32, before the export, test split of its corpus: {where}{differ}"


def busy_note(rows, *, load_average, cores, threads=1):
    """Return why these times are not to be trusted, or None where the machine had nothing else to do.

    Args:
        rows: with what add_times adds.
        load_average: of one minute, before the measurement; None where the system does not tell.
        cores: that the process may use.
        threads: that were measured.
    """
    reasons = []
    if load_average is not None and load_average + threads > cores + LOAD_MARGIN:
        reasons.append(f"the load average was {load_average:.1f} on {cores} cores before it began")
    waited, name = max((row["waited_share"], row["bundle"]) for row in rows)
    if waited > MAX_WAITED_SHARE:
        reasons.append(f"{name} waited for a processor {waited:.0%} of its time")
    spread, name = max((row["pass_spread"], row["bundle"]) for row in rows)
    if spread > MAX_PASS_SPREAD:
        reasons.append(f"the median pass of {name} took {spread:.1f} times as long as its fastest")
    if not reasons:
        return None
    return (
        f"the machine was busy: {'; '.join(reasons)}. Times and speed-ups may be far off: measure again when it is idle"
    )


def latency_table(rows):
    """Return the Table of times a chunk."""
    header = (
        "bundle", "kind", "density", "ticket WER %", "precision", "backend", "chunk p50 ms", "p95", "p99",
        "model p50 ms", "speed-up", "RTF", "CPU s/s",
    )  # fmt: skip
    cells = tuple(
        (
            row["bundle"],
            row["kind"],
            number(row["density"], digits=3),
            number(row["told_test_wer"], scale=100, digits=1),
            row["precision"],
            _backend(row),
            *(number(row["chunk_ms"][name]) for name in ("p50", "p95", "p99")),
            number(row["model_ms"]["p50"]),
            "masked" if row["kind"] == "masked" else f"{number(row['speedup'])}x",
            number(row["rtf"], digits=4),
            number(row["cpu_s_per_audio_s"], digits=4),
        )
        for row in rows
    )
    return Table(header=header, rows=cells, num_left=2)


def footprint_table(rows):
    """Return the Table of sizes, memory, load time and, where measured, latency on a real-time-paced stream."""
    is_paced = any("paced" in row for row in rows)
    header = ("bundle", "kind", "precision", "backend", "weights", "non-zeros", "model MB", "load ms", "peak RSS MB")
    header += ("first chunk ms", "first text ms", "final text ms", "lag ms") if is_paced else ()
    cells = []
    for row in rows:
        line = (
            row["bundle"],
            row["kind"],
            row["precision"],
            _backend(row),
            _thousands(row["num_weights"]),
            _thousands(row["num_nonzeros"]),
            number(row["model_bytes"], scale=1e-6),
            number(row["load_s"], scale=1e3, digits=0),
            number(row["peak_rss_bytes"], scale=1e-6, digits=0),
        )
        if is_paced:
            paced = ("first_chunk_s", "first_partial_s", "finalisation_s", "lag_s")
            line += tuple(number(row["paced"][name], scale=1e3, digits=0) for name in paced)
        cells.append(line)
    return Table(header=header, rows=tuple(cells), num_left=4)


def _backend(row):
    """Return the name of a row's backend with the instruction set, where that is known."""
    return " ".join(filter(None, (row["backend"], row.get("instruction_set"))))


def _thousands(value):
    return "-" if value is None else f"{value:,}"


def latency_series(rows):
    """Return Series of median model time over kept weights, one for each kind, precision and backend.

    The dense model begins the lines of its pruned versions. Rows that tell no counts are left out.
    """
    known = [row for row in rows if row["num_nonzeros"] and row["num_weights"]]
    dense = max((row["num_weights"] for row in known), default=None)
    is_dense_alone = all(row["kind"] == "dense" for row in known)
    backends = sorted({row["backend"] for row in known}, reverse=True)
    series = []
    for precision, backend in itertools.product(("fp32", "int8"), backends):
        group = [row for row in known if (row["precision"], row["backend"]) == (precision, backend)]
        where = f"{precision}, {backend}" if len(backends) > 1 else precision
        for kind, kinds, name in (
            ("shrunk", ("dense", "shrunk"), "shrunk (structured)"),
            ("masked", ("dense", "masked"), "masked (zeros stay)"),
            ("sparse", ("dense", "sparse"), "sparse (zeros skipped)"),
            ("dense-small", ("dense-small",), "dense-small control"),
            ("dense", ("dense",) if is_dense_alone else (), "dense"),
        ):
            members = [row for row in group if row["kind"] in kinds]
            if any(row["kind"] == kind for row in members):
                series.append(
                    Series(
                        name=f"{name}, {where}",
                        x=tuple(row["num_nonzeros"] / dense for row in members),
                        y=tuple(row["model_ms"]["p50"] for row in members),
                        is_dashed=kind not in ("shrunk", "sparse"),
                    )
                )
    return series
