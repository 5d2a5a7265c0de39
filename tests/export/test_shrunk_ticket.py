"""A shrunk ticket: the model of the structured bundle, as training reads it."""

import pytest
import torch

from export.errors import ExportError
from export.shrunk_ticket import write_shrunk_ticket
from lottery_train.ticket import load_ticket


def test_a_shrunk_ticket_computes_what_the_masked_one_does(exported, tmp_path):
    write_shrunk_ticket(exported.ticket, tmp_path / "shrunk")
    ticket = load_ticket(tmp_path / "shrunk")
    assert ticket.config == exported.model.config
    x_BTF = torch.randn(2, 67, 80, generator=torch.Generator().manual_seed(0)) * 3 - 8
    with torch.no_grad():
        found, expected = (model(x_BTF, chunk=8) for model in (ticket.build_model(), exported.masked.eval()))
    # float32 sums of fewer terms: as masked and shrunk models differ everywhere.
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_bundle_of_it_tells_what_it_was_cut_from(exported, tmp_path):
    from export.bundle import _provenance

    write_shrunk_ticket(exported.ticket, tmp_path / "shrunk")
    ticket = load_ticket(tmp_path / "shrunk")
    told = _provenance(ticket, ticket.build_model(), is_structured=False)
    expected = exported.result.manifest.provenance
    names = ("density", "level", "structured", "num_weights", "dense_weights", "config")
    assert {name: told[name] for name in names} == {name: expected[name] for name in names}
    assert ticket.record["shrunk"]["ticket_sha256"] == expected["ticket_sha256"]


def test_a_ticket_that_is_there_stays(exported, tmp_path):
    write_shrunk_ticket(exported.ticket, tmp_path / "shrunk")
    with pytest.raises(ExportError, match="is there already"):
        write_shrunk_ticket(exported.ticket, tmp_path / "shrunk")
