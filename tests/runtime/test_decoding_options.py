"""The decoding options of lottery-transcribe and lottery-listen, with a real bundle."""

import json

import numpy as np
import pytest
import soundfile

from runtime import listen, transcribe
from runtime.beam import BeamDecoder
from runtime.decoder import GreedyDecoder
from runtime.hotwords import Hotword
from runtime.language_model import DEFAULT_WEIGHT, DEFAULT_WORD_BONUS
from runtime.options import add_decoding_options, create_parser, decoder_from
from tests.tiny_bundle import speak, write_tiny_bundle

ARPA = """\\data\\
ngram 1=5
ngram 2=1

\\1-grams:
-9\t<unk>\t0
-99\t<s>\t0
-1\t</s>\t0
-1\tcab\t0
-1\tbed\t0

\\2-grams:
-1\tcab bed

\\end\\
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("decoding") / "bundle")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "a.wav"
    soundfile.write(path, speak("cab bad"), 16000)
    return path


def run(*arguments, main=transcribe.main):
    return main([str(argument) for argument in arguments])


def decoder_of(*options):
    parser = create_parser("test", description="", examples="")
    add_decoding_options(parser)
    return decoder_from(parser.parse_args([str(option) for option in options]))


@pytest.mark.parametrize(
    "options", [["--decoder", "greedy"], ["--decoder", "beam"], ["--beam", 3], ["--hotword", "ace"]]
)
def test_clear_speech_is_the_same_with_every_decoder(bundle, clip, capsys, options):
    assert run(bundle, clip, "--json") == 0
    expected = json.loads(capsys.readouterr().out)
    assert run(bundle, clip, "--json", *options) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert expected["text"] == "cab bad"


def test_nothing_but_the_listed_words(bundle, clip, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("# two of them\ncab\nbed\n")
    for options in (["--words", "cab, bed"], ["--grammar", tmp_path / "words.txt"]):
        assert run(bundle, clip, *options) == 0
        assert set(capsys.readouterr().out.split()) <= {"cab", "bed"}
    assert run(bundle, clip, "--words", "cab bad,bed", "--one-of") == 0
    assert capsys.readouterr().out == "cab bad\n"
    assert run(bundle, clip, "--words", "cab,bad,dad", "--one-of") == 0
    assert capsys.readouterr().out.strip() in {"cab", "bad", "dad"}


def test_a_live_session_has_them_too(bundle, clip, capsys):
    assert run(bundle, "--replay", clip, "--speed", 0, "--words", "cab,bad", main=listen.main) == 0
    assert capsys.readouterr().out == "cab bad\n"


def test_hotwords_from_a_file_and_the_command_line(bundle, clip, tmp_path, capsys):
    (tmp_path / "hot.txt").write_text("cad:20\n")
    # 20 a letter outweighs any sound; "d" is there among the symbols of every frame.
    assert run(bundle, clip, "--hotwords", tmp_path / "hot.txt") == 0
    assert "cad" in capsys.readouterr().out.split()
    assert run(bundle, clip, "--hotwords", tmp_path / "hot.txt", "--hotword", "cad:0") == 0
    assert capsys.readouterr().out == "cab bad\n", "the command line has the last word"


def test_a_language_model(bundle, clip, tmp_path, capsys):
    pytest.importorskip("kenlm", reason="the package of the extra `lm` is not installed")
    (tmp_path / "tiny.arpa").write_text(ARPA)
    assert run(bundle, clip, "--lm", tmp_path / "tiny.arpa", "--lm-weight", 0) == 0
    assert capsys.readouterr().out == "cab bad\n"
    # The sound is sure of every letter, so that no model changes it; here is that its words arrive.
    decoder = decoder_of("--lm", tmp_path / "tiny.arpa", "--lm-weight", 1.5, "--word-bonus", -2, "--beam", 4)
    (model,) = decoder.scorers
    assert (decoder.beam, model.weight, model.word_bonus, model.path) == (4, 1.5, -2.0, tmp_path / "tiny.arpa")
    (model,) = decoder_of("--lm", "lm.bin").scorers
    assert (model.weight, model.word_bonus) == (DEFAULT_WEIGHT, DEFAULT_WORD_BONUS)


def test_without_options_it_is_the_bundles_default_and_any_of_them_makes_it_a_beam():
    assert decoder_of() is None
    assert decoder_of("--decoder", "greedy") == GreedyDecoder()
    assert decoder_of("--decoder", "beam") == BeamDecoder()
    assert decoder_of("--beam", 3) == BeamDecoder(beam=3)
    (hotwords,) = decoder_of("--hotword", "a b:2", "--hotword", "c").scorers
    assert hotwords.hotwords == (Hotword("a b", 2.0), Hotword("c"))
    hotwords, grammar = decoder_of("--words", "a, b c", "--one-of", "--hotword", "c").scorers
    assert (grammar.phrases, grammar.one_of) == (("a", "b c"), True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--words", "cab,xyz"], "error: phrase 'xyz': the model has no symbol with x y z\n"),
        (["--hotword", "Cab"], "error: phrase 'Cab': the model has no symbol with C\nhint: the model writes 'cab'\n"),
        (["--grammar", "gone.txt"], "error: gone.txt: cannot read: No such file or directory\n"),
        (["--hotwords", "gone.txt"], "error: gone.txt: cannot read: No such file or directory\n"),
    ],
)
def test_what_does_not_fit_is_one_error(bundle, clip, capsys, monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    assert run(bundle, clip, *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--one-of"], "--one-of needs --words or --grammar"),
        (["--lm-weight", "1"], "--lm-weight needs --lm"),
        (["--word-bonus", "1"], "--word-bonus needs --lm"),
        (["--lm", "a", "--lm-weight", "-1"], "--lm-weight is -1.0, expected 0 or more"),
        (["--lm", "a", "--lm-weight", "nan"], "nan is not a finite number"),
        (["--decoder", "greedy", "--beam", "4"], "--beam needs --decoder beam"),
        (["--decoder", "greedy", "--hotword", "a"], "--hotword needs --decoder beam"),
        (["--words", "a", "--grammar", "b"], "not allowed with"),
        (["--words", "a,,b"], "holds an empty phrase"),
        (["--hotword", "a:50"], "boost of hotword 'a' is 50.0"),
        (["--beam", "0"], "0 is not 1 or more"),
    ],
)
@pytest.mark.parametrize("main", [transcribe.main, listen.main])
def test_wrong_arguments_are_explained(capsys, main, options, message):
    with pytest.raises(SystemExit) as caught:
        run("bundle", *(["clip.wav"] if main is transcribe.main else []), *options, main=main)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_one_phrase_a_file_however_long(bundle, tmp_path, capsys):
    samples = np.concatenate([speak("cab bad"), np.zeros(32 * 16000, np.float32), speak("bed")])
    soundfile.write(tmp_path / "long.wav", samples, 16000)
    assert run(bundle, tmp_path / "long.wav", "--words", "cab bad,bed", "--one-of") == 0
    assert capsys.readouterr().out.strip() in {"cab bad", "bed"}
    assert run(bundle, tmp_path / "long.wav", "--words", "cab bad,bed") == 0
    assert capsys.readouterr().out == "cab bad bed\n"
