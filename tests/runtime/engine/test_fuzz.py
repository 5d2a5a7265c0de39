"""Whatever a file holds: an error of one line, or a model that steps; never a crash, nor memory without bound.

The same files under a sanitizer, and many more: test_sanitizers.py.
"""

import json
import struct
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.engine.library import Model, aligned_bytes, instruction_sets
from runtime.errors import BundleError
from tests.runtime.engine.reference_ticket import CONFIG, RAW, WIDTHS, checksum, tensor_shapes
from tests.runtime.engine.small_tickets import small_tickets
from tests.runtime.engine.ticket_builder import CONFIG_VALUES, TicketBuilder, seal

pytestmark = pytest.mark.usefixtures("engine_library")

# The same examples in every run, none kept on disk; how long one takes is no matter for a test.
FUZZ = settings(
    derandomize=True, database=None, deadline=None, max_examples=600, suppress_health_check=list(HealthCheck)
)
PROLOGUE_BYTES = 32
# A step's buffers; larger ones are left alone, so that the test comes to an end.
MOST_BYTES = 1 << 24
# A NaN that no computation makes.
UNWRITTEN = np.uint32(0x7FC0DEAD).view(np.float32)
# Numbers around every limit of the format, and around what 16 and 32 bits hold.
NUMBERS = sorted(
    {max(0, power + nearby) for power in (0, 8, 256, 1024, 5461, 1 << 14, 1 << 16, 1 << 24) for nearby in (-1, 0, 1)}
    | {2, 3, 4, 5, 1023, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF}
)


def marked(shape, dtype=float):
    """Stand in for np.empty: memory that shows where nothing has been written."""
    return np.full(shape, UNWRITTEN, dtype) if dtype is np.float32 else np.zeros(shape, dtype)


def check_file(data, *, instruction_set=None):
    """Open a file and step it twice with two streams; return whether it is refused."""
    try:
        model = Model(bytes(data), instruction_set=instruction_set)
    except BundleError as error:
        line = str(error).partition("the ticket engine cannot open it: ")[2]
        assert line
        assert line.isprintable()
        return line
    shape = model.geometry
    states = [model.initial_state(), model.initial_state()] if model.state_bytes <= MOST_BYTES else []
    if not states or max(model.workspace_bytes(2), 8 * shape.chunk_frames * shape.vocab_size) > MOST_BYTES:
        return None
    workspace = aligned_bytes(model.workspace_bytes(2))
    x_NTF = np.random.default_rng(0).normal(-6, 4, (2, shape.window_frames, shape.num_mels)).astype(np.float32)
    for num_streams in (1, 2):
        with mock.patch.object(np, "empty", marked):
            logprobs_NTV = model.step(x_NTF[:num_streams], states[:num_streams], workspace=workspace)
        assert not (logprobs_NTV.view(np.uint32) == UNWRITTEN.view(np.uint32)).any()
    return None


def resealed(data):
    """Return a file with its size and its checksum made right."""
    body = bytes(data[PROLOGUE_BYTES:])
    return bytes(data[:16]) + struct.pack("<QQ", PROLOGUE_BYTES + len(body), checksum(body)) + body


files = st.integers(0, 9).map(lambda number: small_tickets()[number])
names = st.integers(0, 7).map(lambda number: instruction_sets()[number % len(instruction_sets())])


def test_the_files_are_right_before_anything_happens_to_them():
    for data, name in ((data, name) for data in small_tickets() for name in instruction_sets()):
        assert check_file(data, instruction_set=name) is None
        assert resealed(data) == data


@FUZZ
@given(data=files, share=st.floats(0, 1, exclude_max=True), is_resealed=st.booleans(), name=names)
def test_truncated_files(data, share, is_resealed, name):
    cut = data[: int(len(data) * share)]
    whole = is_resealed and len(cut) >= PROLOGUE_BYTES
    assert check_file(resealed(cut) if whole else cut, instruction_set=name)


@FUZZ
@given(data=files, places=st.sets(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4), name=names)
def test_a_flipped_bit_never_passes_the_checksum(data, places, name):
    changed = bytearray(data)
    for bit in {int(place * 8 * (len(data) - PROLOGUE_BYTES)) + 8 * PROLOGUE_BYTES for place in places}:
        changed[bit // 8] ^= 1 << bit % 8
    assert check_file(changed, instruction_set=name) == "altered: the checksum differs"


@FUZZ
@given(data=files, places=st.sets(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8), name=names)
def test_flipped_bits_under_a_right_checksum(data, places, name):
    changed = bytearray(data)
    for bit in {int(place * 8 * len(data)) for place in places}:
        changed[bit // 8] ^= 1 << bit % 8
    check_file(resealed(changed), instruction_set=name)


@FUZZ
@given(data=files, place=st.floats(0, 1, exclude_max=True), number=st.sampled_from(NUMBERS), name=names)
def test_hostile_numbers_anywhere(data, place, number, name):
    """Every number of the header is a whole word, at a multiple of four."""
    at = int(place * (len(data) // 4)) * 4
    check_file(resealed(data[:at] + struct.pack("<I", number) + data[at + 4 :]), instruction_set=name)


@FUZZ
@given(numbers=st.lists(st.sampled_from(NUMBERS) | st.integers(0, 64), max_size=200), rest=st.binary(max_size=400))
def test_random_content(numbers, rest):
    content = struct.pack(f"<{len(numbers)}I", *numbers) + rest
    assert check_file(seal(content, num_tables=0))


@FUZZ
@given(
    config=st.fixed_dictionaries({name: st.sampled_from(NUMBERS) for name in CONFIG}),
    widths=st.fixed_dictionaries({name: st.sampled_from(NUMBERS) for name in WIDTHS}),
    kept=st.sets(st.sampled_from([*CONFIG, *WIDTHS]), min_size=11),
)
def test_random_headers(config, widths, kept):
    """Some of the header's numbers are others than those that the tensors were written for."""
    builder = TicketBuilder()
    builder.config |= {name: number for name, number in config.items() if name not in kept}
    builder.blocks[0] |= {name: number for name, number in widths.items() if name not in kept}
    check_file(builder.bytes())


@FUZZ
@given(
    data=files,
    place=st.floats(0, 1),
    added=st.binary(max_size=40),
    num_removed=st.integers(0, 40),
    is_resealed=st.booleans(),
    name=names,
)
def test_files_that_grew_or_shrank(data, place, added, num_removed, is_resealed, name):
    at = int(place * len(data))
    changed = data[:at] + added + data[at + num_removed :]
    if is_resealed and len(changed) >= PROLOGUE_BYTES:
        check_file(resealed(changed), instruction_set=name)
    elif changed != data:
        assert check_file(changed, instruction_set=name)


# Reads the paths of files from stdin, runs each in the memory that this process has and so many bytes more, and writes
# what became of it.
CHILD = """
import json, resource, sys
import numpy as np
from runtime.engine.library import Model, aligned_bytes, load
from runtime.errors import BundleError

load()
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + int(sys.argv[1]),) * 2)
for path in json.load(sys.stdin):
    try:
        model = Model(open(path, "rb").read())
        shape = model.geometry
        features = np.zeros((1, shape.window_frames, shape.num_mels), np.float32)
        model.step(features, [model.initial_state()], workspace=aligned_bytes(model.workspace_bytes()))
        print("stepped")
    except BundleError as error:
        print(error)
    except MemoryError as error:
        print("not enough memory:", error)
"""
MEMORY_BYTES = 128 << 20


def claiming_ticket(config, widths):
    """Return a right file whose sizes cost it next to nothing: matrices without entries, or of one symbol."""
    config, blocks = CONFIG_VALUES | {"num_blocks": 1} | config, [dict.fromkeys(WIDTHS, 0) | widths]
    table = np.zeros(256, "<u2")
    table[128] = 1 << 14
    content = [struct.pack("<10I", *(config[name] for name in CONFIG))]
    content += [struct.pack("<5I", *(blocks[0][name] for name in WIDTHS)), table.tobytes()]
    for name, shape in tensor_shapes(config, blocks):
        if len(shape) == 1:
            content.append(struct.pack("<I", 1) + bytes(2 * shape[0]))
            continue
        # a stream of one symbol is the coder's state and no more
        is_dense = name.endswith("depthwise")
        header = (1, *shape, 0, RAW, 0, 0, 4) if is_dense else (3, *shape, 0, RAW, RAW, 0, 0)
        content.append(struct.pack("<8I", *header) + 2 * (struct.pack("<I", 1) + bytes(2 * shape[0])))
        content.append(struct.pack("<I", 1 << 16) if is_dense else b"")
    return seal(b"".join(content), num_tables=1)


def claims():
    """Yield the bytes of small files that claim the most of what a file can claim without paying for it."""
    for chunk in (1, 5, 16, 1000, 1024):
        for left in (1, 15, 1024, 16384):
            for kernel in (1, 3, 1023):
                if left < kernel // 2:
                    continue
                config = {"chunk_frames": chunk, "left_context": left, "conv_kernel": kernel, "max_chunk": 1}
                yield claiming_ticket(config, {})
                yield claiming_ticket(config, {"conv": 40, "conv_norm": 1 << 26})
                yield claiming_ticket(config, {"ff1": 100, "ff2": 200})
                yield claiming_ticket(config | {"vocab_size": 800}, {})
                yield claiming_ticket(config | {"num_mels": 600, "stem_width": 60, "model_width": 50}, {})
                yield claiming_ticket(config | {"head_width": 100}, {"heads": 1})
                yield claiming_ticket(config | {"head_width": 1}, {"heads": 90})


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's here")
def test_a_small_file_cannot_ask_for_much_memory(tmp_path, engine_library):
    paths = []
    for number, data in enumerate(claims()):
        if len(data) <= 1 << 12:
            paths.append(tmp_path / f"{number}.ticket")
            paths[-1].write_bytes(data)
    # Numbers anywhere that no file pays for, too.
    for number, data in enumerate(original[:4096] for original in small_tickets()):
        for at in range(PROLOGUE_BYTES, 160, 4):
            paths.append(tmp_path / f"{number}_{at}.ticket")
            paths[-1].write_bytes(resealed(data[:at] + struct.pack("<I", 16384 - at % 8) + data[at + 4 :]))
    said = run_child(paths)
    assert said.count("stepped") > 100
    assert not [line for line in said if "memory" in line]


def test_the_limit_of_memory_is_one(tmp_path, engine_library):
    """A file that pays for what it claims, with as many bytes as it has columns, is not served in that much."""
    path = tmp_path / "model.ticket"
    path.write_bytes(claiming_ticket({"vocab_size": 60000, "chunk_frames": 1024}, {}))
    assert "memory" in run_child([path])[0]


def run_child(paths):
    """Return what became of each file."""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(MEMORY_BYTES)],
        input=json.dumps(list(map(str, paths))),
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(paths)
    return said
