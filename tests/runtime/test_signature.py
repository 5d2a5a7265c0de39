"""Who signed a bundle: Ed25519 signatures of manifest.json, checked against openssl."""

import dataclasses
import shutil
import stat
import subprocess

import pytest

from export.cli import main as export_main
from runtime.bench import main as bench_main
from runtime.errors import BundleError, LotteryError
from runtime.listen import main as listen_main
from runtime.manifest import MANIFEST_NAME, Manifest
from runtime.recognizer import Recognizer
from runtime.signature import SIGNATURE_NAME, load_private_key, make_keys, write_signature
from runtime.transcribe import main as transcribe_main
from tests.tiny_bundle import speak, write_tiny_bundle

pytest.importorskip("cryptography", reason="the extra `sign` is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys") / "me.key")


@pytest.fixture
def signed(keys, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    write_signature(bundle, key=load_private_key(keys[0]))
    return bundle


def test_a_signed_bundle_runs_and_an_unsigned_one_does_not(keys, signed):
    assert Recognizer(signed, require_signature=keys[1]).transcribe(speak("cab")).text == "cab"
    assert len((signed / SIGNATURE_NAME).read_bytes()) == 64
    (signed / SIGNATURE_NAME).unlink()
    with pytest.raises(BundleError, match=r"manifest\.json\.sig: no signature"):
        Recognizer(signed, require_signature=keys[1])
    assert Recognizer(signed).manifest.name == "bundle"


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: bytes(64)])
def test_a_damaged_signature_is_refused(keys, signed, change):
    path = signed / SIGNATURE_NAME
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BundleError, match="not what the owner of .* signed"):
        Manifest.load(signed, require_signature=keys[1])


def test_a_manifest_that_was_changed_with_all_its_hashes_is_refused(keys, signed):
    dataclasses.replace(Manifest.load(signed), name="evil").write(signed)
    assert Manifest.load(signed).name == "evil"
    with pytest.raises(BundleError, match="not what the owner of .* signed"):
        Manifest.load(signed, require_signature=keys[1])


def test_a_file_that_was_changed_is_refused_by_its_hash(keys, signed):
    path = signed / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx: altered"):
        Recognizer(signed, precision="fp32", require_signature=keys[1])


def test_another_key_does_not_do(keys, signed, tmp_path):
    other = make_keys(tmp_path / "other.key")[1]
    with pytest.raises(BundleError, match="not what the owner of"):
        Manifest.load(signed, require_signature=other)


def test_openssl_checks_our_signature_and_we_check_its(keys, signed, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")

    def openssl(*arguments):
        return subprocess.run(["openssl", *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True)

    files = ["-rawin", "-in", signed / MANIFEST_NAME, "-sigfile", signed / SIGNATURE_NAME]
    assert openssl("pkeyutl", "-verify", "-pubin", "-inkey", keys[1], *files).returncode == 0
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", "their.key").returncode == 0
    assert openssl("pkey", "-in", "their.key", "-pubout", "-out", "their.pub").returncode == 0
    source = ["-rawin", "-in", signed / MANIFEST_NAME, "-out", signed / SIGNATURE_NAME]
    assert openssl("pkeyutl", "-sign", "-inkey", "their.key", *source).returncode == 0
    assert Manifest.load(signed, require_signature=tmp_path / "their.pub").name == "bundle"


def test_keys_are_private_and_never_replaced(keys):
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    with pytest.raises(LotteryError, match="exists already"):
        make_keys(keys[0])


@pytest.mark.parametrize("content", [None, b"", b"no key", b"\xff" * 100])
def test_a_key_that_is_none_is_named(keys, signed, tmp_path, content):
    path = tmp_path / "bad.key"
    if content is not None:
        path.write_bytes(content)
    for use in (load_private_key, lambda key: Manifest.load(signed, require_signature=key)):
        with pytest.raises(LotteryError, match=r"bad\.key") as caught:
            use(path)
        assert "keygen" in caught.value.hint
    # and the one of the pair that cannot do it
    with pytest.raises(LotteryError):
        load_private_key(keys[1])
    with pytest.raises(LotteryError):
        Manifest.load(signed, require_signature=keys[0])


def test_the_commands_take_the_key(keys, signed, tmp_path, capsys):
    import soundfile

    soundfile.write(tmp_path / "clip.wav", speak("cab"), 16000)
    clip, option = str(tmp_path / "clip.wav"), ["--require-signature", str(keys[1])]
    assert transcribe_main([str(signed), clip, *option]) == 0
    assert capsys.readouterr().out == "cab\n"
    (signed / SIGNATURE_NAME).unlink()
    for main, arguments in (
        (transcribe_main, [str(signed), clip]),
        (listen_main, [str(signed), "--replay", clip]),
        (bench_main, [str(signed)]),
    ):
        assert main([*arguments, *option]) == 2
        assert "error: " in (said := capsys.readouterr().err)
        assert "no signature" in said


def test_keygen_writes_a_pair(tmp_path, capsys):
    assert export_main(["keygen", str(tmp_path / "a.key")]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "a.key"), str(tmp_path / "a.key.pub")]
    assert export_main(["keygen", str(tmp_path / "a.key")]) == 2
    assert "exists already" in capsys.readouterr().err
