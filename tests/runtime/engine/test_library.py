"""The ctypes binding: what loads, what is refused before a pointer is taken, and what the plain functions compute."""

import gc
import itertools
import struct
import threading

import numpy as np
import pytest

from runtime.engine import library
from runtime.engine.build import BuildError, build
from runtime.engine.library import EngineUnavailableError, Model, aligned_bytes, encode, integer_product
from runtime.errors import BundleError, LotteryError
from tests.runtime.engine.reference_ticket import rans_symbols, read_ticket
from tests.runtime.engine.tiny_ticket import random_ticket

# Numbers of the int8 formats in docs/formats.md.
INT8_FORMATS = (1, 3, 4, 6, 7)


@pytest.fixture(scope="module")
def model(engine_library):
    return Model(random_ticket())


@pytest.fixture
def arguments(model):
    """Return what Model.step takes for two streams."""
    shape = model.geometry
    return {
        "x_NTF": np.zeros((2, shape.window_frames, shape.num_mels), np.float32),
        "states": [model.initial_state(), model.initial_state()],
        "workspace": aligned_bytes(model.workspace_bytes(2)),
    }


def test_a_missing_library_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_ENGINE_LIBRARY", str(tmp_path / "gone.so"))
    assert not library.is_available()
    for call in (library.load, library.instruction_sets, lambda: Model(b"")):
        with pytest.raises(EngineUnavailableError, match=r"is not installed: no .*gone\.so") as caught:
            call()
        assert "apt install g++" in caught.value.hint


def test_a_file_that_is_no_library_is_unavailable(tmp_path, monkeypatch):
    path = tmp_path / "text.so"
    path.write_text("not a library")
    monkeypatch.setenv("LOTTERY_ENGINE_LIBRARY", str(path))
    with pytest.raises(EngineUnavailableError, match=r"cannot be loaded: .*text\.so"):
        library.load()


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        (library.ABI_VERSION + 1, f"has ABI {library.ABI_VERSION + 1}, this lottery-asr uses {library.ABI_VERSION}"),
        (library.ABI_VERSION, "cannot be loaded: .*ticket_instruction_sets"),
        (None, "cannot be loaded: .*ticket_abi_version"),
    ],
)
def test_a_library_of_another_version_is_unavailable(tmp_path, monkeypatch, version, complaint):
    code = '#include "ticket_engine.h"\n'
    if version is not None:
        code += f"TICKET_API uint32_t ticket_abi_version(void) {{ return {version}; }}\n"
    (tmp_path / "api.cpp").write_text(code)
    try:
        path = build(tmp_path / "out", source=tmp_path).path
    except BuildError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("LOTTERY_ENGINE_LIBRARY", str(path))
    with pytest.raises(EngineUnavailableError, match=complaint):
        library.load()


def test_the_header_and_the_binding_agree(engine_library):
    header = (library.FOLDER / "include" / "ticket_engine.h").read_text()
    assert f"#define TICKET_ABI_VERSION {library.ABI_VERSION}\n" in header
    assert f"#define TICKET_ALIGNMENT {library.ALIGNMENT_BYTES}\n" in header
    declared = header[header.index("typedef struct ticket_geometry {") : header.index("} ticket_geometry;")]
    fields = [line.split(";")[0].split()[1] for line in declared.splitlines()[1:]]
    assert fields == list(library.TicketGeometry.__dataclass_fields__)
    # every function of the header, with as many arguments
    functions = {
        call.split("(")[0].split()[-1].lstrip("*"): call.split("(")[1].split(")")[0]
        for call in header.split("TICKET_API ")[3:]
    }
    assert set(functions) == set(library._FUNCTIONS)
    for name, (_, arguments) in library._FUNCTIONS.items():
        assert len(arguments) == (0 if functions[name] == "void" else functions[name].count(",") + 1), name


def test_the_instruction_set_is_the_best_or_the_one_asked_for(model, monkeypatch):
    present = library.instruction_sets()
    assert present[-1] == "baseline"
    assert model.instruction_set == present[0]
    assert Model(random_ticket(), instruction_set="baseline").instruction_set == "baseline"
    monkeypatch.setenv("LOTTERY_ENGINE_ISA", "baseline")
    assert Model(random_ticket()).instruction_set == "baseline"
    assert Model(random_ticket(), instruction_set=present[0]).instruction_set == present[0]
    monkeypatch.setenv("LOTTERY_ENGINE_ISA", "avx1024")
    with pytest.raises(LotteryError, match=r"LOTTERY_ENGINE_ISA is 'avx1024', this processor .* baseline"):
        Model(random_ticket())
    with pytest.raises(LotteryError, match=r"instruction_set is 'mmx'"):
        Model(random_ticket(), instruction_set="mmx")


def test_the_geometry_is_the_file_s(model):
    config, found = read_ticket(random_ticket()).config, model.geometry
    for name in ("num_mels", "chunk_frames", "vocab_size", "left_context"):
        assert getattr(found, name) == config[name]
    assert found.window_frames == 4 * config["chunk_frames"] + 3
    assert model.state_bytes % library.ALIGNMENT_BYTES == 0
    assert model.workspace_bytes(2) >= model.workspace_bytes(1) > 0
    assert model.weight_bytes > 0


@pytest.mark.parametrize("num_bytes", [0, 7, 31, 32, 100, -1])
def test_a_file_that_ends_early_is_a_bundle_error(engine_library, num_bytes):
    with pytest.raises(BundleError, match=r"some/model\.ticket: the ticket engine cannot open it: .") as caught:
        Model(random_ticket()[:num_bytes], source="some/model.ticket")
    assert "lottery-export" in caught.value.hint


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("x_NTF", lambda x: x.astype(np.float64)),
        ("x_NTF", lambda x: x.astype(">f4")),
        ("x_NTF", lambda x: x[:1]),
        ("x_NTF", lambda x: x[:, :-1]),
        ("x_NTF", lambda x: np.asfortranarray(x)),
        ("x_NTF", lambda x: x.tolist()),
        ("states", lambda states: states[:1]),
        ("states", lambda states: []),
        ("states", lambda states: [states[0], states[0]]),
        ("states", lambda states: [states[0], states[1][:-1]]),
        ("states", lambda states: [states[0], states[1].view(np.int8)]),
        ("states", lambda states: [states[0], read_only(states[1])]),
        ("states", lambda states: [states[0], aligned_bytes(states[1].size + 1)[1:]]),
        ("states", lambda states: [states[0], aligned_bytes(2 * states[1].size)[::2]]),
        ("states", lambda states: [states[0], bytes(states[1])]),
        ("workspace", lambda workspace: workspace[:-1]),
        ("workspace", lambda workspace: workspace.view(np.float32)),
        ("workspace", lambda workspace: aligned_bytes(workspace.size + 1)[1:]),
        ("workspace", lambda workspace: read_only(workspace)),
    ],
)
def test_what_a_pointer_would_not_promise_is_refused_and_nothing_is_written(model, arguments, name, change):
    before = [state.copy() for state in arguments["states"]]
    states = list(arguments["states"])
    arguments[name] = change(arguments[name])
    with pytest.raises(ValueError, match=r"x_NTF|state|workspace|num_streams"):
        model.step(arguments.pop("x_NTF"), arguments.pop("states"), **arguments)
    assert all(np.array_equal(*pair) for pair in zip(before, states, strict=True))


def test_the_number_of_streams_has_a_limit(model):
    for num_streams in (0, -1, 1025, 1 << 32):
        with pytest.raises(ValueError, match="expected 1 to 1024"):
            model.workspace_bytes(num_streams)


def test_a_model_is_closed_once_when_nothing_refers_to_it_any_more(engine_library, monkeypatch):
    loaded, closed = library.load(), []
    close = loaded.ticket_close
    monkeypatch.setattr(loaded, "ticket_close", lambda handle: closed.append(handle) or close(handle))
    model = Model(random_ticket())
    handle = model._handle
    gc.collect()
    assert closed == []
    del model
    gc.collect()
    assert closed == [handle]


def test_many_threads_load_one_library(engine_library, monkeypatch):
    monkeypatch.setattr(library, "_loaded", {})
    gate, found = threading.Barrier(8), []

    def work():
        gate.wait()
        found.append(library.load())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def frequencies_of(counts):
    """Return frequencies of sum 16384 in which every symbol that occurs has one."""
    share = np.floor(counts * (16384 - 256) / counts.sum()).astype(np.int64) + (counts > 0)
    share[np.argmax(share)] += 16384 - share.sum()
    return share.astype(np.uint16)


@pytest.mark.parametrize("num_symbols", [0, 1, 2, 5000])
@pytest.mark.parametrize("spread", [1, 3, 256])
def test_encoded_symbols_come_back_from_another_decoder(engine_library, num_symbols, spread):
    symbols = np.random.default_rng(spread).geometric(2 / (spread + 1), num_symbols).clip(1, 256).astype(np.uint16) - 1
    symbols = symbols.astype(np.uint8)
    counts = np.bincount(symbols, minlength=256)
    frequencies = frequencies_of(counts if num_symbols else np.eye(1, 256)[0])
    coded = encode(frequencies, symbols)
    assert isinstance(coded, bytes)
    decoded = list(itertools.islice(rans_symbols(frequencies, coded), num_symbols))
    assert [symbol for symbol, _ in decoded] == symbols.tolist()
    assert decoded[-1][1] if decoded else coded == struct.pack("<I", 1 << 16)


def test_the_rarest_symbols_fit_what_is_allocated_for_them(engine_library):
    frequencies = np.ones(256, np.uint16)
    frequencies[0] = 16384 - 255
    symbols = np.full(4096, 7, np.uint8)
    # 14 bits a symbol, and the state
    assert abs(len(encode(frequencies, symbols)) - 4096 * 14 / 8) <= 4


@pytest.mark.parametrize(
    ("frequencies", "symbols"),
    [
        (np.full(256, 64, np.uint32), np.zeros(4, np.uint8)),
        (np.full(128, 128, np.uint16), np.zeros(4, np.uint8)),
        (np.full(256, 63, np.uint16), np.zeros(4, np.uint8)),
        (np.full(256, 64, np.uint16), np.zeros(4, np.int8)),
        (np.full(256, 64, np.uint16), np.zeros((2, 2), np.uint8)),
        (np.full(256, 64, np.uint16), np.zeros(8, np.uint8)[::2]),
        (np.repeat(np.array([128, 0], np.uint16), 128), np.array([3, 200], np.uint8)),
    ],
)
def test_what_cannot_be_encoded_is_refused(engine_library, frequencies, symbols):
    with pytest.raises(ValueError, match=r"frequenc|symbols"):
        encode(frequencies, symbols)


@pytest.mark.parametrize("format", INT8_FORMATS)
@pytest.mark.parametrize(("rows", "cols", "frames"), [(1, 1, 1), (16, 64, 16), (37, 70, 5), (130, 33, 64)])
def test_integer_products_are_those_of_numpy_on_every_instruction_set(engine_library, format, rows, cols, frames):
    generator = np.random.default_rng(rows)
    x = generator.normal(0, 1, (cols, frames)).astype(np.float32)
    weights = generator.integers(-127, 128, (rows, cols)).astype(np.int8)
    weights[generator.random((rows, cols)) < 0.7] = 0
    # products with single ones are the quantised activations themselves
    quantised = integer_product(np.eye(cols, dtype=np.int8), x, format=1, instruction_set="baseline")
    assert quantised.min() >= 0
    assert quantised.max() <= 255
    if cols > 1:
        smallest, span = quantised.min(0), np.ptp(quantised, axis=0)
        assert span.min() >= 250
        step = np.ptp(x, axis=0) / span
        # half a step of rounding for the number, the smallest, and the largest
        assert (np.abs((quantised - smallest) * step + x.min(0) - x) <= 1.5 * step).all()
    for name in library.instruction_sets():
        sums = integer_product(weights, x, format=format, instruction_set=name)
        assert np.array_equal(sums, weights.astype(np.int32) @ quantised), name


def test_what_has_no_integer_product_is_refused(engine_library):
    weights, x = np.ones((4, 8), np.int8), np.ones((8, 2), np.float32)
    for changes in ({"format": 0}, {"format": 99}, {"format": -1}):
        with pytest.raises(ValueError, match="format"):
            integer_product(weights, x, **changes)
    for wrong in ((weights.astype(np.int16), x), (weights, x.astype(np.float64)), (weights, x[:4]), (weights.T, x)):
        with pytest.raises(ValueError, match=r"weights|x is"):
            integer_product(*wrong, format=1)
