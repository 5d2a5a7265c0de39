"""torchaudio comes in through one door, also where its compiled part cannot be loaded."""

import subprocess
import sys

import pytest
import torch

from lottery_train.torchaudio_import import import_torchaudio
from runtime.errors import MissingExtraError


def test_what_needs_no_compiled_operator_works():
    torchaudio = import_torchaudio()
    assert import_torchaudio() is torchaudio
    assert torchaudio.functional.resample(torch.ones(1, 1600), 16000, 8000).shape == (1, 800)
    assert torchaudio.datasets.LIBRISPEECH
    model = torchaudio.models.Conformer(8, 2, 16, 1, 3)
    assert model(torch.zeros(1, 4, 8), torch.tensor([4]))[0].shape == (1, 4, 8)


_WITHOUT = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio":
            raise ModuleNotFoundError("No module named 'torchaudio'", name="torchaudio")
sys.meta_path.insert(0, Nothing())
from lottery_train.torchaudio_import import import_torchaudio
from runtime.errors import MissingExtraError
try:
    import_torchaudio()
except MissingExtraError as error:
    print(error, "|", error.hint)
"""


def test_a_missing_torchaudio_names_the_extra():
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=True)
    assert "'torchaudio'" in done.stdout
    assert 'pip install "lottery-asr[train]"' in done.stdout


def test_a_torchaudio_that_cannot_be_imported_at_all_is_explained(monkeypatch):
    def fail(*_, **__):
        raise OSError("libcudart.so.13: cannot open shared object file")

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("lottery_train.torchaudio_import.require_extra", fail)
    monkeypatch.setattr("lottery_train.torchaudio_import.importlib.import_module", fail)
    with pytest.raises(MissingExtraError, match="libcudart"):
        import_torchaudio()
    assert "torchaudio._extension" not in sys.modules
