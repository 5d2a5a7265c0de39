"""What the suite concludes, on runs whose numbers a person can add up: 20 words, a few errors."""

from dataclasses import replace

import pytest

from benchmarks.claims.findings import best, extreme, matching, noises, schedules, structures, transfers
from benchmarks.claims.report import find, page
from benchmarks.claims.scores import of_equal_size
from benchmarks.claims.verdict import beats, matches, overall, unmeasured
from tests.benchmarks.claims.runs import NONE, ONE, SMALL, write_ticket


@pytest.mark.usefixtures("conformer")
def test_extreme_is_by_the_rule_and_best_is_by_dev(reader):
    rows = reader.levels("conformer")
    assert extreme(rows, split="test").level == 2
    assert extreme(rows[:2], split="test") is None
    assert extreme(rows, split="dev").level == 2
    assert best(rows).level == 1


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
    write_ticket(bench, known["block1x4"], "controls/random-pruning_02", test=(2,) * 5)
    found = {each["text"]: each["minus"] for each in structures(reader, SMALL)["statements"]}
    assert found["block1x4: the ticket of 41.0 % beats random-pruning"] == -0.5
    assert found["block1x4: the ticket of 41.0 % beats no-rewinding"] is None
    assert found["block1x4 at 41.0 %: match dense"] == -0.25
    assert found["block1x4 at 41.0 %: match single weights"] == 0
    assert found["block1x4 at 41.0 %: beat dense-small (0 k weights, the ticket 0 k)"] == -0.25


@pytest.mark.usefixtures("conformer")
def test_transfer_is_against_dense_transfer(bench, known, reader):
    write_ticket(bench, known["an4_from_libri_dense"], "level_00", test=(2,) * 5)
    write_ticket(bench, known["an4_from_libri_longer"], "level_00", test=NONE)
    write_ticket(bench, known["an4_from_libri_ticket"], "level_00", test=ONE)
    write_ticket(bench, known["an4_from_libri_random"], "level_00", test=(3,) * 5)
    found = transfers(reader, SMALL)
    minus = {each["text"]: each["minus"] for each in found["statements"]}
    assert minus["an4: the transferred ticket beats random pruning on the source, transferred"] == -0.5
    ways = found["targets"]["an4"]
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
    rates = "25.0 % (libri/level_00, density 100.0 %) and 50.0 % (libri/level_02, density 22.6 %)"
    text = f"On its own test split the source has a WER of {rates}"
    assert text in page(found, seeds=(0,))


class Deaf:
    """Tests in noise in which every word is an error."""

    @staticmethod
    def row(row, *, snr_db):
        if snr_db is None:
            return row
        scores = {seed: replace(score, word_errors=score.word_counts) for seed, score in row.test.items()}
        return replace(row, test=scores)

    @staticmethod
    def sounds():
        return {split: {"used": 1, "all": 1} for split in ("train", "test")}


@pytest.mark.usefixtures("conformer")
def test_in_noise_tickets_stand_beside_controls_that_were_tested_in_it(bench, known, reader):
    for level, test in enumerate((ONE, ONE, NONE)):
        write_ticket(bench, known["noise"], f"level_{level:02d}", test=test, dev=NONE, density=0.64**level)
    for control in ("dense-longer", "random-pruning"):
        write_ticket(bench, known["noise"], f"controls/{control}_02", test=ONE)
    found = noises(reader, SMALL, Deaf)
    verdicts = {each["text"]: (each["verdict"], each["minus"]) for each in found["statements"]}
    assert verdicts["the best ticket (41.0 %) beats dense in clean speech"] == ("holds", -0.25)
    assert verdicts["the best ticket (41.0 %) beats dense at 5 dB"] == ("undecided", 0.0)
    assert verdicts["the best ticket (41.0 %) matches dense trained for as long at 5 dB"] == ("holds", 0.0)
    assert verdicts["the ticket of 41.0 % beats random-pruning at 5 dB"] == ("undecided", 0.0)
    assert verdicts["the ticket of 41.0 % beats random-ticket at 5 dB"] == ("not measured", None)
    rates = {(row["ticket"], row["snr_db"]): row["wer"] for row in found["rows"]}
    assert rates["noise/random-pruning_02", None] == 0.25
    assert rates["noise/random-pruning_02", 0.0] == 1.0
    assert ("conformer/level_02", 0.0) in rates


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
