"""The mean of tickets, entry by entry."""

import pytest
import torch

from benchmarks.average_tickets import main
from lottery_train.ticket import load_ticket
from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket


def test_the_mean_of_two_and_what_is_refused(tmp_path, capsys):
    config = small_config(num_blocks=1)
    models = [random_model(config, seed=seed) for seed in (1, 2)]
    units = drawn_units(models[0])
    for name, model in zip("ab", models, strict=True):
        write_ticket(tmp_path / name, model, mask=unit_mask(model, units), level=1)
    arguments = [f"{tmp_path / 'a'}=0.75", f"{tmp_path / 'b'}=0.25"]
    assert main([*arguments, "--out", str(tmp_path / "mean")]) == 0
    a, b, mean = (load_ticket(tmp_path / name) for name in ("a", "b", "mean"))
    for name, value in mean.weights.items():
        torch.testing.assert_close(value, 0.75 * a.weights[name] + 0.25 * b.weights[name])
    assert mean.mask == a.mask
    assert "metrics" not in mean.record
    assert main([arguments[0], f"{tmp_path / 'b'}=0.5", "--out", str(tmp_path / "c")]) == 2
    other = random_model(small_config(num_blocks=2))
    write_ticket(tmp_path / "c", other, mask=unit_mask(other, drawn_units(other)), level=1)
    assert main([arguments[0], f"{tmp_path / 'c'}=0.25", "--out", str(tmp_path / "d")]) == 2
    assert "of another shape" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
