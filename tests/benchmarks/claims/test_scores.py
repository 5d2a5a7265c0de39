"""Rows of finished tickets: seeds pooled, costs counted, never two that cannot be compared."""

import json

import pytest

from benchmarks.claims.affordable import costs
from benchmarks.claims.experiment import Bench
from benchmarks.claims.findings import matching
from benchmarks.claims.registry import Scale, experiments
from benchmarks.claims.report import find, page, summarise
from benchmarks.claims.scores import Reader
from benchmarks.claims.verdict import beats, statement
from lottery_train.errors import TicketError
from tests.benchmarks.claims.runs import ONE, SMALL, write_ticket


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
def test_what_stands_side_by_side_is_of_the_same_seeds(bench, known):
    """The constant rate has two seeds, decaying one: both curves are of that one, while C1 pools the two."""
    for level in range(3):
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=(4,) * 5, density=0.5**level, seed=1)
        write_ticket(bench, known["decaying"], f"level_{level:02d}", test=ONE, density=0.5**level)
    reader = Reader(Bench(runs=bench.runs, data_dir=bench.data_dir, seeds=(0, 1)), known)
    found = find(reader, SMALL, tests=None)
    assert {tuple(row["seeds"]) for rows in found["C2"]["curves"].values() for row in rows} == {(0,)}
    assert [row["wer"] for row in found["C2"]["curves"]["constant"]] == [0.25, 0.5, 0.0]
    assert found["C1"]["backbones"]["conformer"]["rows"][0]["seeds"] == [0, 1]
    # What no seed finished takes nothing away, and where two share no seed each stays as it is.
    assert reader.over_shared_seeds(["conformer", "lamp"]).bench.seeds == (0, 1)
    for level in range(3):
        write_ticket(bench, known["lamp"], f"level_{level:02d}", test=ONE, density=0.5**level, seed=1)
    assert reader.over_shared_seeds(["decaying", "lamp"]).bench.seeds == (0, 1)


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
    assert by_text["conformer: the ticket of 41.0 % matches dense trained for as long"]["verdict"] == "not measured"
    assert by_text["conformer: the ticket of 41.0 % beats random-ticket"]["verdict"] == "holds"


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


@pytest.mark.usefixtures("conformer")
def test_an_unfinished_search_gives_no_number(bench, known, reader):
    (bench.runs / "conformer" / "level_01" / "ticket.json").unlink()
    summary = summarise(find(reader, SMALL, tests=None))
    assert set(summary.values()) == {None}


def test_a_longer_training_costs_what_it_is_longer(bench):
    known = experiments(Scale())
    write_ticket(bench, known["gradual_10_longer"], "level_20", test=ONE, density=0.107, epochs=168)
    (row,) = costs(Reader(bench, known), Scale())["rows"]
    assert (row["method"], row["epochs"], row["cost"]) == ("gradual_longer", 168, pytest.approx(2.4))
