r"""Tickets on AN4: error rates, sizes and times of every level, beside their controls.

    lottery-train --preset an4 --data-dir ../shared/data/an4 --out runs/an4 --controls 4
    lottery-train --preset an4-unstructured --data-dir ../shared/data/an4 --out runs/an4_unstructured \
        --dense-from runs/an4 --controls 4
    python -m benchmarks.an4 runs/an4 runs/an4_unstructured --data-dir ../shared/data/an4 --bundles bundles/an4

Exports what has no bundle yet, recognises the test clips through the deployed runtime (streamed, in every runtime of
RUNTIMES), and times all bundles interleaved. Both halves resume. Writes benchmarks/results/an4.json and an4.html.
"""

import sys
from pathlib import Path

import torch

from benchmarks.latency import export_tickets, find_tickets, measure
from benchmarks.results import RESULTS, relative, write_result
from lottery_train.corpora import find_corpus, load_audio, read_manifest
from lottery_train.dataset import load_dataset
from lottery_train.evaluate import Score, paired_difference, recognise, score_texts
from lottery_train.report import read_records, size_table, wer_figure
from lottery_train.ticket import load_ticket
from runtime.bench import find_rows, latency_figure
from runtime.command import run_command
from runtime.comparison import footprint_table, latency_table, notes
from runtime.files import read_json, sha256_file, write_atomic, write_json
from runtime.machine import describe_machine, machine_line
from runtime.manifest import Manifest
from runtime.measurement import Conditions
from runtime.options import create_parser, positive_int
from runtime.plots import Section, html_report
from runtime.recognizer import Recognizer

# What a bundle is measured in: name in the result -> backend and precision.
RUNTIMES = {
    "fp32": {"backend": "onnxruntime", "precision": "fp32"},
    "int8": {"backend": "onnxruntime", "precision": "int8"},
    "engine": {"backend": "engine", "precision": "int8"},
}


def streamed_scores(bundles, utterances, *, state_path):
    """Recognise clips through the runtime, chunk by chunk, and score them.

    Args:
        bundles: bundle folders.
        utterances: list of Utterance.
        state_path: JSON file that keeps the texts of bundles already done.
    Returns:
        bundle name -> name in RUNTIMES -> (Score, texts).
    """
    state = read_json(state_path) if state_path.exists() else {}
    references = [utterance.text for utterance in utterances]
    clips = None
    for folder in bundles:
        key = sha256_file(Path(folder) / "manifest.json")
        if key in state:
            continue
        clips = clips or [load_audio(utterance) for utterance in utterances]
        print(f"recognising with {Path(folder).name}", file=sys.stderr)
        state[key] = {}
        for name, how in RUNTIMES.items():
            recognizer = Recognizer(folder, **how)
            state[key][name] = [recognizer.transcribe(clip).text for clip in clips]
        write_json(state_path, state)
    found = {}
    for folder in bundles:
        texts = state[sha256_file(Path(folder) / "manifest.json")]
        found[Path(folder).name] = {name: (score_texts(references, texts[name]), texts[name]) for name in RUNTIMES}
    return found


def offline_texts(ticket, utterances):
    """Recognise clips with the masked torch model over whole utterances at the ticket's chunk length."""
    dataset = load_dataset(utterances, name="test")
    torch.set_num_threads(1)
    texts, _ = recognise(
        ticket.build_model(),
        dataset,
        tokenizer=ticket.tokenizer,
        encode=lambda text: [],
        chunk=ticket.chunk_frames,
        batch_s=30.0,
    )
    return texts


def bundle_table(folders, scores, rows):
    """Return one record a bundle: what it is, its sizes, error rates as streamed, and times."""
    dense = next(iter(scores.values()))["fp32"][0]
    records = []
    for folder in folders:
        name = Path(folder).name
        told = Manifest.load(folder).provenance
        record = {"bundle": name, **{key: told[key] for key in ("level", "granularity", "structured", "density")}}
        record |= {key: told[key] for key in ("num_weights", "num_nonzeros")}
        for runtime, how in RUNTIMES.items():
            score = scores[name][runtime][0]
            difference, low, high = paired_difference(dense, score)
            row = next(row for row in rows if row["path"] == str(folder) and how.items() <= row.items())
            record[runtime] = {
                "test_wer": score.wer,
                "test_wer_interval": score.wer_interval,
                "test_cer": score.cer,
                "minus_dense_wer": difference,
                "minus_dense_interval": [low, high],
                **{key: row[key] for key in ("model_bytes", "bundle_bytes", "cpu_s_per_audio_s", "rtf", "speedup")},
                "model_ms_p50": row["model_ms"]["p50"],
            }
        records.append(record)
    return records


def choose_structured(records):
    """Return the smallest shrunk ticket of at most half the dense weights that dev cannot tell from dense.

    The choice is made on dev alone: the paired 95 % interval of WER minus dense's holds 0. What is reported is test.
    """
    dense = records[0]
    fitting = [
        record
        for record in records
        if record["structured"]
        and record["num_nonzeros"] <= dense["num_weights"] / 2
        and record["dev"]["minus_dense_interval"][0] <= 0
    ]
    return min(fitting, key=lambda record: record["num_nonzeros"], default=None)


def _overlap(first, second):
    return first[0] <= second[1] and second[0] <= first[1]


def summarise(records, *, stream_minus_offline, levels):
    """Return the summary of plain numbers that the result file opens with."""
    dense, chosen = records[0], choose_structured(records)
    summary = {
        "dense_weights": dense["num_weights"],
        "dense_test_wer": dense["fp32"]["test_wer"],
        "stream_minus_offline_wer": stream_minus_offline,
        **levels,
        "structured_weight_fraction": None,
        "structured_test_wer": None,
        "structured_overlaps_dense": False,
        "structured_int8_speedup_vs_dense_int8": None,
    }
    if chosen is not None:
        summary |= {
            "structured_weight_fraction": chosen["num_nonzeros"] / dense["num_weights"],
            "structured_level": chosen["level"],
            "structured_test_wer": chosen["fp32"]["test_wer"],
            "structured_overlaps_dense": _overlap(
                chosen["fp32"]["test_wer_interval"], dense["fp32"]["test_wer_interval"]
            ),
            "structured_int8_speedup_vs_dense_int8": chosen["int8"]["speedup"],
        }
    return summary


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.an4",
        description="Measure the tickets of an unstructured and a structured run; writes benchmarks/results/an4.json.",
        examples="  python -m benchmarks.an4 runs/an4 runs/an4_unstructured --data-dir packs/an4 --bundles bundles/an4",
    )
    parser.add_argument("structured", type=Path, metavar="RUN", help="run with unit tickets; its level 0 is dense")
    parser.add_argument("unstructured", type=Path, metavar="RUN", help="run with weight tickets, from the same level 0")
    parser.add_argument("--data-dir", type=Path, help="corpus directory")
    parser.add_argument("--bundles", type=Path, required=True, metavar="DIR", help="where the bundles go")
    parser.add_argument("--rounds", type=positive_int, default=20, metavar="N", help="timed passes over the clip")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result files go")
    return parser.parse_args(argv)


def _main(argv):
    arguments = _parse(argv)
    runs = {"structured": arguments.structured, "unstructured": arguments.unstructured}
    tickets = {kind: find_tickets(run) for kind, run in runs.items()}
    # Level 0 is the same model in both runs: it is exported and measured once.
    tickets["unstructured"] = [folder for folder in tickets["unstructured"] if folder.name != "level_00"]
    folders = export_tickets([*tickets["structured"], *tickets["unstructured"]], bundles=arguments.bundles)
    utterances, _ = read_manifest(find_corpus("an4", data_dir=arguments.data_dir).splits["test"])
    scores = streamed_scores(folders, utterances, state_path=arguments.bundles / ".texts.json")
    offline = score_texts(
        [utterance.text for utterance in utterances],
        offline_texts(load_ticket(arguments.structured / "level_00"), utterances),
    )
    streamed = scores[Path(folders[0]).name]["fp32"][0]
    rows = find_rows(folders, backend="auto")
    state_path = arguments.bundles / ".latency.state.json"
    measure(rows, conditions=Conditions(threads=1), rounds=arguments.rounds, is_paced=False, state_path=state_path)
    records = bundle_table(folders, scores, rows)
    _add_dev(records, folders, runs)
    levels = {f"{kind}_levels": len(list(run.glob("level_*/ticket.json"))) - 1 for kind, run in runs.items()}
    summary = summarise(records, stream_minus_offline=streamed.wer - offline.wer, levels=levels)
    tickets_json = {kind: _ticket_records(run) for kind, run in runs.items()}
    for row in rows:
        row["path"] = relative(row["path"])
    details = {"bundles": records, "tickets": tickets_json, "latency": rows, "notes": notes(rows)}
    path = write_result("an4", summary=summary, details=details, threads=1, folder=arguments.results)
    write_atomic(path.with_suffix(".html"), _page(runs, rows))
    print(path)


def _add_dev(records, folders, runs):
    """Add each bundle's dev figures, which its ticket holds: what choices are made on."""
    by_sha = {}
    for run in runs.values():
        for path in (*run.glob("level_*/ticket.json"), *run.glob("controls/*/ticket.json")):
            by_sha[sha256_file(path)] = Score(**read_json(path)["metrics"]["dev"])
    scores = [by_sha[Manifest.load(folder).provenance["ticket_sha256"]] for folder in folders]
    for record, score in zip(records, scores, strict=True):
        difference, low, high = paired_difference(scores[0], score)
        record["dev"] = {"wer": score.wer, "minus_dense_wer": difference, "minus_dense_interval": [low, high]}


def _ticket_records(run):
    """Return what ticket.json says of every level and control, without the per-utterance lists and the config."""
    found = []
    for path in (*sorted(run.glob("level_*/ticket.json")), *sorted(run.glob("controls/*/ticket.json"))):
        record = read_json(path)
        metrics = {
            split: {key: value for key, value in score.items() if not key.startswith("word_")}
            for split, score in record["metrics"].items()
        }
        kept = ("name", "level", "granularity", "density", "sizes", "epochs", "seed", "search")
        found.append({"ticket": relative(str(path.parent)), **{key: record[key] for key in kept}, "metrics": metrics})
    return found


def _page(runs, rows):
    sections = []
    for kind, run in runs.items():
        levels, controls = read_records(run)
        sections.append(
            Section(
                heading=f"{kind.capitalize()} tickets",
                figure=wer_figure(levels, controls),
                table=size_table(levels + controls),
            )
        )
    sections.append(Section(heading="Time of one model step", figure=latency_figure(rows), table=latency_table(rows)))
    sections.append(Section(heading="Size, memory, load time", table=footprint_table(rows)))
    sections.append(Section(heading="Notes", text="\n\n".join(notes(rows))))
    return html_report("Tickets on AN4", sections=sections, footer=machine_line(describe_machine(threads=1)))


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
