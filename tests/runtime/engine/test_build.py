"""How the library is compiled: which files with which flags, and what happens where that cannot be done."""

import ctypes
import json
import re
import shutil
import stat
import subprocess
import sys

import pytest

from runtime.engine import build as build_module
from runtime.engine.build import INCLUDE_DIR, INSTRUCTION_SETS, SOURCE_DIR, BuildError, build, find_compiler, main

# A compiler that compiles nothing: it notes its arguments and knows no flag with "unknown" in it.
FAKE_COMPILER = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
if arguments == ["-dumpmachine"]:
    sys.exit(print("{machine}"))
if "-munknown" in arguments:
    sys.exit("error: unrecognized option '-munknown'\\nmore of it")
if "-o" in arguments:
    with open("{log}", "a") as log:
        log.write(json.dumps(arguments) + "\\n")
    pathlib.Path(arguments[arguments.index("-o") + 1]).write_text("built")
"""


@pytest.fixture
def compiler():
    """Return the Compiler of this machine; skip visibly where there is none."""
    try:
        return find_compiler()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture
def fake(tmp_path):
    """Return a function from a machine to (command of a compiler for it, function that returns its calls)."""

    def make(machine):
        path, log = tmp_path / f"{machine}-g++", tmp_path / "log"
        path.write_text(FAKE_COMPILER.format(python=sys.executable, machine=machine, log=log))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path), lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return make


def write_sources(folder, **files):
    """Write name.cpp files and return their folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.cpp").write_text(content)
    return folder


def test_the_table_names_every_instruction_set_that_has_a_file():
    table = {name for names in INSTRUCTION_SETS.values() for name in names}
    assert {path.stem.removeprefix("isa_") for path in SOURCE_DIR.glob("isa_*.cpp")} == table
    header = (INCLUDE_DIR / "ticket_engine.h").read_text()
    (listed,) = re.findall(r'some of "([^"]*)"', header)
    assert set(listed.split()) == table
    # `build` prints them best first, as the header has them
    for names in INSTRUCTION_SETS.values():
        assert [name for name in listed.split() if name in names] == list(names)


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [
        ("x86_64-linux-gnu", "x86_64"),
        ("aarch64-linux-gnu", "aarch64"),
        ("arm64-apple-darwin23.1.0", "aarch64"),
        ("riscv64-linux-gnu", None),
    ],
)
def test_each_file_gets_the_flags_of_its_instruction_set(fake, tmp_path, machine, architecture):
    every = {name for names in INSTRUCTION_SETS.values() for name in names}
    source = write_sources(tmp_path / "src", api="", dispatch="", **{f"isa_{name}": "" for name in every})
    command, calls = fake(machine)
    built = build(tmp_path / "out", compiler=command, source=source)
    table = INSTRUCTION_SETS.get(architecture, {"baseline": ""})
    assert built.instruction_sets == tuple(table)
    assert built.path.name == ("libticket_engine.dylib" if "darwin" in machine else "libticket_engine.so")
    *compiled, link = sorted(calls(), key=lambda arguments: "-shared" in arguments)
    by_file = {arguments[arguments.index("-c") + 1].rpartition("/")[2]: arguments for arguments in compiled}
    assert set(by_file) == {"api.cpp", "dispatch.cpp", *(f"isa_{name}.cpp" for name in table)}
    for name, flags in table.items():
        own = set(by_file[f"isa_{name}.cpp"]) - set(by_file["api.cpp"])
        assert {flag for flag in own if flag.startswith("-m")} == set(flags.split())
    macros = {f"-DTICKET_HAS_{name.upper()}=1" for name in table}
    assert {flag for flag in by_file["dispatch.cpp"] if flag.startswith("-D")} == macros
    assert len(compiled) == sum(argument.endswith(".o") for argument in link)


def test_an_instruction_set_that_the_compiler_does_not_know_is_left_out(fake, tmp_path, monkeypatch):
    monkeypatch.setitem(INSTRUCTION_SETS, "x86_64", {"avx512": "-munknown", "avx2": "-mavx2", "baseline": ""})
    names = ("dispatch", "isa_avx512", "isa_avx2", "isa_baseline")
    command, calls = fake("x86_64-linux-gnu")
    built = build(
        tmp_path / "out", compiler=command, source=write_sources(tmp_path / "src", **dict.fromkeys(names, ""))
    )
    assert built.instruction_sets == ("avx2", "baseline")
    assert built.notes == ("instruction set avx512 is left out: error: unrecognized option '-munknown'",)
    assert "-DTICKET_HAS_AVX512=1" not in sum(calls(), [])


def test_sanitizers_reach_the_compiler_and_the_linker(fake, tmp_path, capsys):
    command, calls = fake("x86_64-linux-gnu")
    options = ["--output", str(tmp_path / "out"), "--compiler", command, "--sanitize", "address,undefined"]
    assert main(options) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'libticket_engine.so'}\n"
    assert all("-fsanitize=address,undefined" in arguments for arguments in calls())
    assert not any("-O3" in arguments for arguments in calls())


def test_a_library_that_this_machine_cannot_load_never_takes_the_place_of_the_installed_one(capsys):
    for option in (["--sanitize", "thread"], ["--target", "aarch64"]):
        with pytest.raises(SystemExit) as caught:
            main(option)
        assert caught.value.code == 2
        assert "need --output" in capsys.readouterr().err


def test_the_compiler_is_the_one_that_is_asked_for(fake, tmp_path, monkeypatch):
    command, _ = fake("aarch64-linux-gnu")
    monkeypatch.setenv("CXX", f"{command} -pipe")
    assert find_compiler().command == (command, "-pipe")
    assert find_compiler(target="aarch64", command=command).architecture == "aarch64"
    with pytest.raises(BuildError, match="compiles for aarch64-linux-gnu, expected x86_64"):
        find_compiler(target="x86_64", command=command)
    monkeypatch.setenv("CXX", str(tmp_path / "gone"))
    with pytest.raises(BuildError, match=r"gone' does not run"):
        find_compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"no C\+\+ compiler found") as caught:
        find_compiler()
    assert "apt install g++" in caught.value.hint
    with pytest.raises(BuildError, match=r"no C\+\+ compiler for riscv64 found"):
        find_compiler(target="riscv64")


def test_without_sources_it_says_where_to_find_them(tmp_path):
    with pytest.raises(BuildError, match="no sources of the engine here") as caught:
        build(tmp_path / "out", source=tmp_path)
    assert "sdist" in caught.value.hint


def test_what_does_not_compile_is_named_and_the_library_that_was_there_stays(compiler, tmp_path):
    source = write_sources(
        tmp_path / "src", api='extern "C" __attribute__((visibility("default"))) int f() { return 7; }'
    )
    path = build(tmp_path / "out", source=source).path
    before = path.read_bytes()
    assert ctypes.CDLL(str(path)).f() == 7
    (source / "api.cpp").write_text("int f() { return missing; }")
    with pytest.raises(BuildError, match=r"(?s)cannot build api\.cpp.*missing"):
        build(tmp_path / "out", source=source)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_function_that_nobody_wrote_is_found_when_linking(compiler, tmp_path):
    if compiler.system != "linux":
        pytest.skip("other linkers have no -z defs")
    source = write_sources(tmp_path / "src", api='extern "C" int g(); extern "C" int f() { return g(); }')
    with pytest.raises(BuildError, match=r"(?s)cannot build libticket_engine\.so.*\bg\b"):
        build(tmp_path / "out", source=source)


def test_equal_sources_give_equal_bytes_wherever_they_lie(compiler, tmp_path):
    code = '#include "ticket_engine.h"\nTICKET_API uint32_t ticket_abi_version(void) { return sizeof __FILE__; }\n'
    libraries = []
    for name in ("here", "somewhere/else"):
        (tmp_path / name).mkdir(parents=True)
        source = write_sources(tmp_path / name / "src", api=code, dispatch="")
        libraries.append(build(tmp_path / name / "out", source=source).path.read_bytes())
    assert libraries[0] == libraries[1]


def test_cross_compilation_to_aarch64(tmp_path):
    try:
        find_compiler(target="aarch64")
    except BuildError as error:
        pytest.skip(str(error))
    source = write_sources(tmp_path / "src", api="int f() { return 1; }", isa_neon="", isa_avx2="#error not this one")
    built = build(tmp_path / "out", source=source, target="aarch64")
    assert built.instruction_sets == ("neon",)
    # e_machine of the ELF header: EM_AARCH64
    assert int.from_bytes(built.path.read_bytes()[18:20], "little") == 183


def test_the_library_needs_nothing_but_libc(engine_library):
    if sys.platform != "linux" or not shutil.which("readelf"):
        pytest.skip("readelf is not here")
    said = subprocess.run(["readelf", "-d", engine_library], check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", said)
    assert needed
    assert set(needed) <= {"libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}


def test_setup_and_the_package_name_the_library_alike():
    assert build_module.library_name("linux") == "libticket_engine.so"
    assert build_module.library_name("darwin") == "libticket_engine.dylib"
    assert build_module.library_name("win32") == "ticket_engine.dll"
