"""What the suite concludes, on runs whose numbers a person can add up: 20 words, a few errors."""

import json

import pytest

from benchmarks.claims.affordable import costs
from benchmarks.claims.experiment import Bench
from benchmarks.claims.findings import best, extreme, matching, schedules, structures, transfers
from benchmarks.claims.registry import PRIORITY, Scale, experiments
from benchmarks.claims.report import find, page, readme_table, summarise, write_report
from benchmarks.claims.scores import Reader, of_equal_size
from benchmarks.claims.verdict import beats, matches, overall, statement, unmeasured
from lottery_train.errors import TicketError
from tests.benchmarks.claims_runs import SMALL, score, write_ticket

NONE = (0, 0, 0, 0, 0)
ONE = (1, 1, 1, 1, 1)


@pytest.fixture
def known():
    return experiments(SMALL)


@pytest.fixture
def bench(tmp_path):
    return Bench(runs=tmp_path / "claims", data_dir=tmp_path / "packs")


@pytest.fixture
def reader(bench, known):
    return Reader(bench, known)


@pytest.fixture
def conformer(bench, known):
    """A finished search: dense errs five times in 20 words, level 1 ten times, level 2 never."""
    for level, (test, dev, density) in enumerate(
        ((ONE, ONE, 1.0), ((2,) * 5, NONE, 0.64), (NONE, (1, 0, 0, 0, 0), 0.41))
    ):
        more = {"density": density, "num_nonzeros": round(1000 * density), "dev": dev}
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=test, **more)


@pytest.mark.usefixtures("conformer")
def test_rows_say_what_the_tickets_say(reader):
    dense, first, second = reader.levels("conformer")
    assert [row.wer for row in (dense, first, second)] == [0.25, 0.5, 0.0]
    # Every utterance differs by the same, so that no draw of utterances can differ: the interval is the difference.
    assert second.minus(dense) == {"minus": -0.25, "interval": [-0.25, -0.25], "seeds": [0]}
    assert [row.cost for row in (dense, first, second)] == [1.0, 1.5, 2.0]
    assert second.to_json(dense=dense)["minus_dense"] == -0.25
    assert second.label == "conformer/level_02"


@pytest.mark.usefixtures("conformer")
def test_extreme_is_by_the_rule_and_best_is_by_dev(reader):
    rows = reader.levels("conformer")
    assert extreme(rows, split="test").level == 2
    assert extreme(rows[:2], split="test") is None
    assert extreme(rows, split="dev").level == 2
    assert best(rows).level == 1


@pytest.mark.usefixtures("conformer")
def test_seeds_are_pooled_and_compared_with_their_own_dense(bench, known):
    for level, test in enumerate(((2, 2, 2, 2, 2), ONE, ONE)):
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=test, density=0.5**level, seed=1)
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known)
    dense, _, second = reader.levels("conformer")
    assert dense.wer == pytest.approx((5 + 10) / 40)
    assert second.wer == pytest.approx((0 + 5) / 40)
    assert second.minus(dense)["minus"] == pytest.approx(-0.25)
    assert second.minus(dense)["seeds"] == [0, 1]
    assert dense.to_json()["wer_by_seed"] == {"0": 0.25, "1": 0.5}
    found = find(reader, SMALL, tests=None)
    assert "conformer: dense by seed 25.0 %, 50.0 %." in page(found, seeds=(0, 1))


@pytest.mark.usefixtures("conformer")
def test_a_seed_that_is_not_finished_counts_nowhere(bench, known):
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known)
    for level in range(2):
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=(4,) * 5, seed=1)
    assert reader.levels("conformer")[0].seeds == [0]
    assert reader.level("conformer", 1).seeds == [0]
    assert reader.seeds("conformer") == [0]
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(1,)), known)
    assert reader.missing(["conformer"]) == {"conformer": "2 of 3 trainings finished"}


@pytest.mark.usefixtures("conformer")
def test_rates_stand_beside_a_difference_of_the_same_seeds(bench, known):
    """The control was trained with one seed of two: the ticket's rate beside it is that seed's."""
    for level, test in enumerate(((2,) * 5, ONE, (4,) * 5)):
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=test, density=0.5**level, seed=1)
    write_ticket(bench, known["conformer"], "controls/dense-longer_02", test=(2,) * 5, epochs=10)
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known)
    ticket, control = reader.level("conformer", 2), reader.control("conformer", "dense-longer", level=2)
    assert ticket.wer == 0.5
    found = statement("it beats", ticket, control, judge=beats)
    assert (found["wer"], found["other_wer"], found["minus"], found["seeds"]) == (0.0, 0.5, -0.5, [0])
    assert ticket.to_json(longer=control)["minus_longer_seeds"] == [0]


@pytest.mark.usefixtures("conformer")
def test_controls_cost_what_they_needed(bench, known, reader):
    write_ticket(bench, known["conformer"], "controls/dense-small_02", test=ONE, num_nonzeros=400)
    write_ticket(bench, known["conformer"], "controls/no-rewinding_02", test=ONE, epochs=5)
    write_ticket(bench, known["conformer"], "controls/random-pruning_02", test=ONE, epochs=10)
    rows = {row.name: row.cost for row in reader.controls("conformer")}
    assert rows == {"dense-small": 1.0, "no-rewinding": 1.5 + 0.5, "random-pruning": 1.0 + 1.0}
    # The mask of random-ticket is found in the weights of the level before.
    write_ticket(bench, known["conformer"], "controls/random-ticket_02", test=(4,) * 5, epochs=10)
    assert reader.control("conformer", "random-ticket", level=2).cost == 1.5 + 1.0
    found = matching(reader, SMALL)
    by_text = {each["text"]: each for each in found["statements"]}
    small = by_text["conformer: the ticket of 41.0 % beats dense-small (0 k weights, the ticket 0 k)"]
    assert small["minus"] == -0.25
    assert small["verdict"] == "holds"
    assert by_text["conformer: the ticket of 41.0 % matches dense-longer"]["verdict"] == "not measured"
    assert by_text["conformer: the ticket of 41.0 % beats random-ticket"]["verdict"] == "holds"


@pytest.mark.usefixtures("conformer")
def test_dense_small_is_one_of_equal_non_zeros(bench, known, reader):
    write_ticket(bench, known["conformer"], "controls/dense-small_02", test=ONE, num_nonzeros=429)
    last = reader.levels("conformer")[-1]
    assert last.num_nonzeros == 410
    small = reader.controls("conformer")
    assert of_equal_size(last, small).num_nonzeros == 429
    assert of_equal_size(reader.levels("conformer")[1], small) is None
    for level, test in enumerate((ONE, ONE, NONE)):
        more = {"density": 0.64**level, "num_nonzeros": round(1000 * 0.64**level)}
        write_ticket(bench, known["block1x4"], f"level_{level:02d}", test=test, **more)
    found = {each["text"]: each["minus"] for each in structures(reader, SMALL)["statements"]}
    assert found["block1x4 at 41.0 %: match dense"] == -0.25
    assert found["block1x4 at 41.0 %: match single weights"] == 0
    assert found["block1x4 at 41.0 %: beat dense-small (0 k weights, the ticket 0 k)"] == -0.25


@pytest.mark.usefixtures("conformer")
def test_transfer_is_against_dense_transfer(bench, known, reader):
    write_ticket(bench, known["an4_from_libri_dense"], "level_00", test=(2,) * 5)
    write_ticket(bench, known["an4_from_libri_longer"], "level_00", test=NONE)
    write_ticket(bench, known["an4_from_libri_ticket"], "level_00", test=ONE)
    ways = transfers(reader, SMALL)["targets"]["an4"]
    assert ways["transferred ticket"]["minus_dense_transfer"] == -0.25
    assert ways["transferred ticket"]["minus_own_ticket"] == 0.25
    assert ways["transferred ticket"]["minus_dense"] == 0
    assert ways["dense transfer, longer"]["minus_dense"] == -0.25
    # Both trained for 10 epochs, as the dense model of the target did.
    assert [ways[way]["cost"] for way in ("dense", "dense transfer", "transferred ticket")] == [1, 1, 1]
    assert ways["own ticket"]["cost"] == 2
    assert transfers(reader, SMALL)["source"] == []
    for level, test in enumerate((ONE, ONE, (2,) * 5)):
        write_ticket(bench, known["libri"], f"level_{level:02d}", test=test, density=0.475**level)
    found = find(reader, SMALL, tests=None)
    assert [row["wer"] for row in found["C5"]["source"]] == [0.25, 0.5]
    rates = "25.0 % (ticket, density 100.0 %) and 50.0 % (ticket, density 22.6 %)"
    text = f"On its own test split the source has a WER of {rates}"
    assert text in page(found, seeds=(0,))


@pytest.mark.usefixtures("conformer")
def test_what_is_transferred_costs_multiples_of_the_targets_dense_training(bench, known, reader):
    write_ticket(bench, known["an4_from_libri_ticket"], "level_00", test=ONE, epochs=4)
    assert transfers(reader, SMALL)["targets"]["an4"]["transferred ticket"]["cost"] == 0.4


@pytest.mark.usefixtures("conformer")
def test_schedules_are_compared_where_non_zeros_are_equal(bench, known, reader):
    for level, density in enumerate((1.0, 0.5, 0.41)):
        more = {"density": density, "num_nonzeros": round(1000 * density)}
        write_ticket(bench, known["lamp"], f"level_{level:02d}", test=ONE, **more)
    found = schedules(reader, SMALL)
    assert [row["minus_constant"] for row in found["curves"]["lamp"]] == [0, None, 0.25]
    (judged,) = (each for each in found["statements"] if each["text"].startswith("lamp"))
    assert (judged["verdict"], judged["wer"], judged["other_wer"], judged["cost"]) == ("fails", 0.25, 0.0, 2.0)


@pytest.mark.usefixtures("conformer")
def test_where_no_ticket_matches_the_nearest_is_shown(bench, known, reader):
    for level, test in enumerate((NONE, (4,) * 5, (3,) * 5)):
        write_ticket(bench, known["cnn_lstm"], f"level_{level:02d}", test=test, dev=NONE, density=0.64**level)
    found = matching(reader, SMALL)
    assert found["backbones"]["cnn_lstm"]["extreme"] is None
    # Dev cannot tell them apart: its extreme ticket is the sparsest, and test judges it.
    assert found["backbones"]["cnn_lstm"]["extreme_on_dev"]["minus_dense"] == 0.75
    verdicts = {each["text"]: each["verdict"] for each in found["statements"]}
    assert verdicts["cnn_lstm: a ticket matches dense (nearest: 41.0 %)"] == "fails"
    assert verdicts["cnn_lstm: the extreme ticket that dev chooses matches dense (41.0 %)"] == "fails"


@pytest.mark.usefixtures("conformer")
def test_the_cheapest_search_is_one_that_reaches_the_papers(bench, known, reader):
    for level, test in enumerate((ONE, ONE, ONE)):
        write_ticket(bench, known["imp"], f"level_{level:02d}", test=test, density=0.64**level)
    write_ticket(bench, known["gradual_10"], "level_08", test=(2,) * 5, density=0.41, epochs=10)
    found = costs(reader, SMALL)
    rows = {row["method"]: row for row in found["rows"] if row["at"] == "10"}
    assert {name: row["matches_imp"] for name, row in rows.items()} == {
        "imp": "holds",
        "learning_rate": "holds",
        "gradual": "fails",
    }
    (headline,) = (each for each in found["statements"] if each["is_headline"])
    assert headline["verdict"] == "holds"
    assert headline["text"].endswith("for at most 2.5 dense trainings (iterative, learning rate rewound)")
    assert rows["gradual"]["cost"] == 1.0
    assert rows["gradual"]["minus_imp"] == 0.25
    assert found["cheapest"]["10"]["method"] == "learning_rate"
    assert found["cheapest"]["10"]["cost"] == 2.0


@pytest.mark.usefixtures("conformer")
@pytest.mark.parametrize(("mine", "method"), [((2,) * 5, "imp"), (ONE, "learning_rate")])
def test_methods_reach_imp_with_the_seeds_of_both(bench, known, mine, method):
    """A second seed that IMP has not finished says nothing of it, however good or bad it is."""
    path = bench.runs / "conformer" / "level_02" / "ticket.json"
    record = json.loads(path.read_text())
    record["metrics"]["test"] = score(mine).to_json()
    path.write_text(json.dumps(record))
    other = NONE if method == "imp" else (4,) * 5
    for level in range(3):
        write_ticket(bench, known["imp"], f"level_{level:02d}", test=ONE, density=0.64**level, epochs=10)
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=other, density=0.64**level, seed=1)
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known)
    found = costs(reader, SMALL)["cheapest"]["10"]
    assert (found["method"], found["minus_imp_seeds"]) == (method, [0])


def test_a_longer_training_costs_what_it_is_longer(bench):
    known = experiments(Scale())
    write_ticket(bench, known["gradual_10_longer"], "level_20", test=ONE, density=0.107, epochs=168)
    (row,) = costs(Reader(bench, known), Scale())["rows"]
    assert (row["method"], row["epochs"], row["cost"]) == ("gradual_longer", 168, pytest.approx(2.4))


@pytest.mark.usefixtures("conformer")
def test_an_interval_too_wide_to_tell_makes_no_method_cheap(bench, known, reader):
    """The fewer utterances, the wider the interval: what is not shown must not become cheap by it."""
    for level in range(3):
        write_ticket(bench, known["imp"], f"level_{level:02d}", test=NONE, density=0.64**level, epochs=10)
    write_ticket(bench, known["gradual_10"], "level_08", test=(0, 0, 0, 0, 4), density=0.41, epochs=10)
    write_ticket(bench, known["conformer_longer"], "controls/dense-longer_02", test=ONE)
    (bench.runs / "conformer" / "level_01" / "ticket.json").unlink()
    found = costs(reader, SMALL)
    (headline,) = (each for each in found["statements"] if each["is_headline"])
    assert headline["verdict"] == "undecided"
    assert headline["interval"][0] == 0
    assert headline["interval"][1] > 0.01
    assert found["cheapest"]["10"]["method"] == "imp"
    assert found["cheapest"]["10"]["cost"] == 3.0


@pytest.mark.usefixtures("conformer")
def test_other_utterances_are_never_paired(bench, known, reader):
    path = bench.runs / "conformer" / "level_02" / "ticket.json"
    record = json.loads(path.read_text())
    record["metrics"]["test"]["word_counts"] = [5, 3, 4, 4, 4]
    path.write_text(json.dumps(record))
    with pytest.raises(TicketError, match="conformer/level_02 and conformer/level_00 were tested on other utterances"):
        matching(reader, SMALL)
    for level in range(3):
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=ONE, seed=1)
    with pytest.raises(TicketError, match="conformer/level_02: its seeds were tested on other utterances"):
        Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known).levels("conformer")


@pytest.mark.usefixtures("conformer")
@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("metrics"),
        lambda record: record.update(metrics={"dev": {}, "test": {}}),
        lambda record: record.update(sizes={"num_nonzeros": 0}),
        lambda record: record.update(density="much"),
        lambda record: record["metrics"]["test"].update(word_errors=[1]),
    ],
)
def test_a_record_that_says_too_little_is_an_error_that_names_it(bench, reader, damage):
    path = bench.runs / "conformer" / "level_01" / "ticket.json"
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(TicketError, match="level_01/ticket.json: not a ticket of the suite"):
        reader.levels("conformer")


def test_verdicts():
    assert matches(-0.03, 0.01) == "holds"
    assert matches(0.002, 0.03) == "fails"
    assert matches(-0.01, 0.02) == "undecided"
    assert beats(-0.03, -0.001) == "holds"
    assert beats(0.001, 0.03) == "fails"
    assert beats(-0.02, 0.0) == "undecided"
    good = unmeasured("a", is_headline=True) | {"verdict": "holds"}
    assert overall([good, unmeasured("b")]) == "holds"
    assert overall([good, unmeasured("b", is_headline=True)]) == "holds (partly measured)"
    assert overall([good, good | {"verdict": "fails"}]) == "mixed"
    assert overall([good, good | {"verdict": "fails"}, unmeasured("b", is_headline=True)]) == "mixed (partly measured)"
    assert overall([unmeasured("b", is_headline=True), good | {"is_headline": False}]) == "not measured"


def test_without_runs_everything_is_null_and_named(reader, bench, tmp_path):
    found = find(reader, SMALL, tests=None)
    summary = summarise(found)
    assert list(summary) == [
        "conformer_extreme_density",
        "cnn_lstm_extreme_density",
        "rnnt_extreme_density",
        "conformer_best_minus_dense_wer",
        "block1x4_at_5pct_minus_dense_wer",
        "noise_5db_ticket_minus_dense_wer",
        "transfer_an4_ticket_minus_dense_wer",
        "ticket_minus_dense_small_wer_at_10pct",
        "search_cost_multiples_at_10pct",
    ]
    assert set(summary.values()) == {None}
    named = {name for findings in found.values() for name in findings["missing"]}
    assert named == set(PRIORITY)
    assert {findings["verdict"] for findings in found.values()} == {"not measured"}
    assert "conformer" in page(found, seeds=(0,))
    assert "The noise pack is not there" in page(found, seeds=(0,))


@pytest.mark.usefixtures("conformer")
def test_result_files_and_the_readme_table(reader, bench, tmp_path):
    found = find(reader, SMALL, tests=None)
    path = write_report(found, bench=bench, scale=SMALL, folder=tmp_path / "results")
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "c1.json", "c2.json", "c3.json", "c4.json", "c5.json", "cost.json", "report.html", "summary.json",
    ]  # fmt: skip
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["summary"]["conformer_extreme_density"] == 0.41
    assert summary["summary"]["conformer_best_minus_dense_wer"] == 0.25
    assert summary["summary"]["search_cost_multiples_at_10pct"] is None
    assert summary["claims"]["C1"]["experiments"]["conformer"] == [0]
    row = json.loads((path.parent / "c1.json").read_text())["backbones"]["conformer"]["rows"][2]
    assert (row["wer"], row["minus_dense_interval"], row["seeds"]) == (0.0, [-0.25, -0.25], [0])
    text = path.read_text()
    assert "a quick run" not in text
    assert "imp (0 of 3 trainings finished)" in text
    table = readme_table(found)
    assert table.startswith("<!-- claims -->\n| claim |")
    line = "| C1 | conformer: a ticket matches dense (41.0 %) | holds | 0.0 | 25.0 | -25.0 [-25.0, -25.0] | 2.00 | 0 |"
    assert line in table
    assert "not measured" not in table


@pytest.mark.usefixtures("conformer")
def test_an_unfinished_search_gives_no_number(bench, known, reader):
    (bench.runs / "conformer" / "level_01" / "ticket.json").unlink()
    summary = summarise(find(reader, SMALL, tests=None))
    assert set(summary.values()) == {None}
