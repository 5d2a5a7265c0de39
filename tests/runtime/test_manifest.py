"""The manifest as untrusted input: everything that can be wrong with a bundle has an error that names it."""

import json
import os

import pytest

from runtime.errors import BundleError
from runtime.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, TICKET_ROLE, FileEntry, Geometry, Manifest
from runtime.recognizer import Recognizer
from tests.tiny_bundle import CHUNK_FRAMES, LEFT_CONTEXT, TOKENIZER, state_specs, write_tiny_bundle


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


def edit(bundle, change):
    """Apply `change` to the parsed manifest and write it back."""
    path = bundle / MANIFEST_NAME
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def load_error(bundle):
    with pytest.raises(BundleError) as caught:
        Manifest.load(bundle)
    assert caught.value.hint, "an error of a bundle says what to do next"
    return str(caught.value)


def test_what_was_written_is_read_back(bundle):
    manifest = Manifest.load(bundle)
    assert manifest.states == state_specs()
    assert manifest.geometry == Geometry(
        chunk_frames=CHUNK_FRAMES, left_context=LEFT_CONTEXT, vocab_size=len(TOKENIZER)
    )
    assert set(manifest.files) == {"model", "model_int8", "tokens"}
    assert Manifest.from_json(manifest.to_json(), source="copy") == manifest


def test_geometry_of_the_container():
    geometry = Geometry(chunk_frames=16, left_context=64, vocab_size=30)
    assert (geometry.window_frames, geometry.shift_frames, geometry.frame_s) == (67, 64, 0.04)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "tokens.txt"])
def test_a_missing_truncated_longer_or_altered_file_is_named(bundle, name):
    path = bundle / name
    content = path.read_bytes()
    path.unlink()
    assert load_error(bundle) == f"{path}: missing"
    path.write_bytes(content[:-1])
    assert f"{path}: truncated" in load_error(bundle)
    path.write_bytes(content + b"\0")
    assert f"{path}: altered" in load_error(bundle)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert f"{path}: altered: its SHA-256" in load_error(bundle)
    path.write_bytes(content)
    assert Manifest.load(bundle).name == "bundle"


def alter(path):
    """Change one byte of a file; its size stays."""
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize(
    ("name", "precision"), [("tokens.txt", "fp32"), ("model.onnx", "fp32"), ("model.int8.onnx", "int8")]
)
def test_a_recogniser_refuses_an_altered_file_that_it_uses(bundle, name, precision):
    alter(bundle / name)
    with pytest.raises(BundleError) as caught:
        Recognizer(bundle, precision=precision)
    assert str(caught.value) == f"{bundle / name}: altered: its SHA-256 is not the manifest's"


def test_a_recogniser_hashes_what_it_uses_and_nothing_else(bundle, monkeypatch):
    hashed = []
    read = FileEntry.read
    monkeypatch.setattr(FileEntry, "read", lambda entry, bundle: hashed.append(entry.path) or read(entry, bundle))
    Recognizer(bundle, precision="int8")
    assert sorted(hashed) == ["model.int8.onnx", "tokens.txt"]
    hashed.clear()
    Manifest.load(bundle)
    assert sorted(hashed) == ["model.int8.onnx", "model.onnx", "tokens.txt"]


@pytest.mark.parametrize("name", ["model.int8.onnx", "tokens.txt"])
def test_a_missing_or_truncated_file_is_found_although_it_is_not_used_yet(bundle, name):
    with open(bundle / name, "ab") as file:
        file.truncate(10)
    with pytest.raises(BundleError, match=f"{name}: truncated: 10 bytes"):
        Recognizer(bundle, precision="fp32")
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        Manifest.load(bundle, verify="used")


def test_the_model_card_may_be_edited_but_not_lead_out_of_the_bundle(bundle, tmp_path):
    card = bundle / "README.md"
    card.write_text("A model card.\n")
    edit(bundle, lambda value: value["files"].update(card=vars(FileEntry.of("README.md", bundle=bundle))))
    card.write_text("A model card, and what I found with it.\n")
    assert "card" in Manifest.load(bundle).files
    assert Recognizer(bundle, precision="fp32").manifest.name == "bundle"
    card.unlink()
    assert load_error(bundle) == f"{card}: missing"
    (tmp_path / "secret").write_text("x")
    card.symlink_to(tmp_path / "secret")
    assert f"{card}: a link that leaves the bundle" in load_error(bundle)


def test_an_unknown_way_to_verify_is_refused(bundle):
    with pytest.raises(ValueError, match="verify is 'none', expected one of all, used"):
        Manifest.load(bundle, verify="none")


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../secret", "..", "", ".", "C:\\secret", "..\\secret", "a\0b", "x" * 300]
)
def test_a_path_that_leaves_the_bundle_is_refused(bundle, path):
    edit(bundle, lambda value: value["files"]["model"].update(path=path))
    message = load_error(bundle)
    assert MANIFEST_NAME in message
    assert "path" in message


def test_a_link_that_leaves_the_bundle_is_refused(bundle, tmp_path):
    outside = tmp_path / "outside.onnx"
    outside.write_bytes((bundle / "model.onnx").read_bytes())
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").symlink_to(outside)
    assert "a link that leaves the bundle" in load_error(bundle)


def test_a_linked_folder_that_leaves_the_bundle_is_refused(bundle, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    (bundle / "models").symlink_to(tmp_path / "outside")
    edit(bundle, lambda value: value["files"]["model"].update(path="models/model.onnx"))
    assert "a link that leaves the bundle" in load_error(bundle)


def test_a_link_inside_the_bundle_and_a_linked_bundle_are_fine(bundle, tmp_path):
    os.rename(bundle / "model.onnx", bundle / "real.onnx")
    (bundle / "model.onnx").symlink_to("real.onnx")
    (tmp_path / "alias").symlink_to(bundle)
    assert Manifest.load(tmp_path / "alias").name == "bundle"


@pytest.mark.parametrize(("version", "step"), [(0, "lottery-export"), (2, "pip install --upgrade"), (10**40, "pip")])
def test_another_schema_version_is_named_with_the_next_step(bundle, version, step):
    edit(bundle, lambda value: value.update(schema_version=version))
    with pytest.raises(BundleError, match="a bundle from another schema version") as caught:
        Manifest.load(bundle)
    assert step in caught.value.hint


def _without_models(files):
    for role in ("model", "model_int8"):
        files.pop(role, None)


WRONG_FIELDS = {
    "schema_version is missing": lambda value: value.pop("schema_version"),
    "schema_version is true or false": lambda value: value.update(schema_version=True),
    "schema_version is text": lambda value: value.update(schema_version="1"),
    "name is missing": lambda value: value.pop("name"),
    "name is '\\x1b[2J'": lambda value: value.update(name="\x1b[2J"),
    "name is ''": lambda value: value.update(name=""),
    "created_by is null": lambda value: value.update(created_by=None),
    "chunk_frames is 0": lambda value: value.update(chunk_frames=0),
    "chunk_frames is a number": lambda value: value.update(chunk_frames=4.0),
    "chunk_frames is 1000000000": lambda value: value.update(chunk_frames=10**9),
    "left_context is -1": lambda value: value.update(left_context=-1),
    "vocab_size is 1": lambda value: value.update(vocab_size=1),
    "num_mels is 40, this runtime computes 80": lambda value: value.update(num_mels=40),
    "sample_rate_hz is 8000, this runtime": lambda value: value.update(sample_rate_hz=8000),
    "blank is 6, this runtime": lambda value: value.update(blank=6),
    "subsampling is missing": lambda value: value.pop("subsampling"),
    "states is an object": lambda value: value.update(states={}),
    "states has 1000 entries": lambda value: value.update(states=value["states"] * 125),
    "states[0] is text": lambda value: value.update(states=["cached_key_0"]),
    "states[0].shape holds '8'": lambda value: value["states"][0].update(shape=["8", -1, 7]),
    "states[0].shape holds True": lambda value: value["states"][0].update(shape=[True, -1, 7]),
    "states[0].shape is (8, 7)": lambda value: value["states"][0].update(shape=[8, 7]),
    "states[0].shape is (67108864, -1, 2)": lambda value: value["states"][0].update(shape=[1 << 26, -1, 2]),
    "states[0].shape has 9 axes": lambda value: value["states"][0].update(shape=[1] * 9),
    "states[0].dtype is 'object'": lambda value: value["states"][0].update(dtype="object"),
    "states[0].initial is text": lambda value: value["states"][0].update(initial="0"),
    "states[0].initial is nan": lambda value: value["states"][0].update(initial=float("nan")),
    "states[7].initial is 0.5": lambda value: value["states"][7].update(initial=0.5),
    "the states have more than 67108864 elements": lambda value: [
        state.update(shape=[1 << 25, -1]) for state in value["states"][:3]
    ],
    "files['model'].bytes is 1099511627776": lambda value: value["files"]["model"].update(bytes=1 << 40),
    "two states have the same name": lambda value: value["states"][1].update(name="cached_key_0"),
    "files has neither of model, model_int8": lambda value: _without_models(value["files"]),
    "files has no 'tokens'": lambda value: value["files"].pop("tokens"),
    "files['model'] is a list": lambda value: value["files"].update(model=[]),
    "files['model'].sha256 is 'abc'": lambda value: value["files"]["model"].update(sha256="abc"),
    "files['model'].bytes is -1": lambda value: value["files"]["model"].update(bytes=-1),
    "provenance is a list": lambda value: value.update(provenance=[]),
}


@pytest.mark.parametrize("complaint", WRONG_FIELDS)
def test_a_wrong_field_is_named(bundle, complaint):
    edit(bundle, WRONG_FIELDS[complaint])
    message = load_error(bundle)
    assert message.startswith(f"{bundle / MANIFEST_NAME}: ")
    assert complaint in message
    assert message.isprintable(), "a message must not carry the bundle's control characters to the terminal"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "the top level is a list"),
        (b"null", "the top level is null"),
        (b'{"\xff": 1}', "not UTF-8"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b'{"provenance": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper than 32 levels"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "this is no manifest"),
    ],
)
def test_a_manifest_that_is_none(bundle, content, complaint):
    (bundle / MANIFEST_NAME).write_bytes(content)
    assert complaint in load_error(bundle)


def add_engine(bundle, **changes):
    """Give a bundle a ticket file and the field that tells of it; `changes` replace its members."""
    (bundle / "model.ticket").write_bytes(b"ticket")
    formats = {"head": "dense_i8", "blocks[0].ff1.up": "csr_i8"}
    engine = {"precision": "int8", "target": "server", "formats": formats} | changes

    def change(value):
        value["files"]["model_ticket"] = vars(FileEntry.of("model.ticket", bundle=bundle))
        value["engine"] = engine

    edit(bundle, change)
    return engine


def test_a_bundle_tells_of_its_ticket_file_or_has_none(bundle):
    before = Manifest.load(bundle)
    assert before.engine is None
    assert "engine" not in before.to_json()
    engine = add_engine(bundle)
    manifest = Manifest.load(bundle)
    assert manifest.engine == engine
    assert manifest.files[TICKET_ROLE].path == "model.ticket"
    assert Manifest.from_json(manifest.to_json(), source="copy") == manifest
    alter(bundle / "model.ticket")
    assert "model.ticket: altered" in load_error(bundle)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"precision": "int4"}, "engine.precision is 'int4', expected one of fp32, int8"),
        ({"precision": 8}, "engine.precision is an integer, expected text"),
        ({"target": 1}, "engine.target is an integer, expected text"),
        ({"formats": []}, "engine.formats is a list, expected an object"),
        ({"formats": {"head": 1}}, "engine.formats.head is an integer, expected text"),
        ({"formats": {"head": "\x1b[2J"}}, "engine.formats.head is '\\x1b[2J'"),
        ({"formats": {"\x1b[2J": "csr_i8"}}, "engine.formats names a matrix '\\x1b[2J'"),
        ({"formats": {"": "csr_i8"}}, "engine.formats names a matrix ''"),
        ({"formats": {"m" * 257: "csr_i8"}}, "engine.formats names a matrix 'mmm"),
        ({"formats": {str(number): "csr_i8" for number in range(4097)}}, "engine.formats has 4097 entries"),
    ],
)
def test_what_is_told_of_a_ticket_file_is_not_trusted(bundle, changes, complaint):
    add_engine(bundle, **changes)
    assert f"{bundle / MANIFEST_NAME}: {complaint}" in load_error(bundle)


@pytest.mark.parametrize("value", [None, [], "int8", {}])
def test_the_field_of_a_ticket_file_is_an_object_with_members(bundle, value):
    add_engine(bundle)
    edit(bundle, lambda manifest: manifest.update(engine=value))
    assert f"{bundle / MANIFEST_NAME}: engine" in load_error(bundle)


def test_a_ticket_file_and_the_field_that_tells_of_it_go_together(bundle):
    add_engine(bundle)
    edit(bundle, lambda value: value.pop("engine"))
    assert "engine and files['model_ticket'] go together" in load_error(bundle)
    add_engine(bundle)
    edit(bundle, lambda value: value["files"].pop("model_ticket"))
    assert "engine and files['model_ticket'] go together" in load_error(bundle)


def test_what_is_not_a_bundle_is_said(tmp_path):
    assert "no such bundle" in load_error(tmp_path / "nowhere")
    assert f"it has no {MANIFEST_NAME}" in load_error(tmp_path)
    (tmp_path / "ticket.json").write_text("{}")
    assert "a ticket, not a bundle" in load_error(tmp_path)


def test_write_refuses_what_load_would_refuse(bundle):
    manifest = Manifest.load(bundle)
    broken = Manifest(**{**vars(manifest), "files": {}})
    before = (bundle / MANIFEST_NAME).read_bytes()
    with pytest.raises(BundleError, match="files has no 'tokens'"):
        broken.write(bundle)
    assert (bundle / MANIFEST_NAME).read_bytes() == before


def rewrite_tokens(bundle, text):
    """Replace tokens.txt and make the manifest agree with it."""
    (bundle / "tokens.txt").write_text(text)
    entry = FileEntry.of("tokens.txt", bundle=bundle)
    edit(bundle, lambda value: value["files"]["tokens"].update(sha256=entry.sha256, bytes=entry.bytes))


def test_tokens_that_do_not_fit_the_vocabulary_are_refused(bundle):
    rewrite_tokens(bundle, "<blk> 0\na 1\n")
    with pytest.raises(BundleError, match=r"tokens.txt: 2 symbols, the manifest says 7"):
        Recognizer(bundle)


def test_a_symbol_that_would_drive_the_terminal_is_refused(bundle):
    symbols = [*TOKENIZER.symbols[:-1], "\x1b[2J"]
    rewrite_tokens(bundle, "".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols)))
    with pytest.raises(BundleError, match=r"tokens.txt:7: symbol '\\x1b\[2J' is not printable"):
        Recognizer(bundle)
