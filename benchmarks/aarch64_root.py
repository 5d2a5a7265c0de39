"""A 64-bit ARM Linux in a folder: Debian's Python in QEMU, with the project installed into a clean environment.

Nothing is mounted, no root is needed: packages of the host's own Debian release, for arm64, are downloaded and
unpacked, and QEMU's user emulation runs the programs inside. `pip install` runs there too, on wheels that were
downloaded here.
"""

import ensurepip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.install_size import LIST_FILES, copy_sources
from benchmarks.results import CHECKOUT
from runtime.engine.build import BuildError, find_compiler
from runtime.errors import LotteryError

ARCHITECTURE = "aarch64"
# Python, and the libraries that wheels expect of a system.
DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
# QEMU's name of a processor -> (part number, features), as Linux shows them. onnxruntime reads /proc/cpuinfo, and
# QEMU would show it the host's. Raspberry Pi 4, Raspberry Pi 5.
PROCESSORS = {
    "cortex-a72": ("0xd08", "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"),
    "cortex-a76": (
        "0xd0b",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
}
DEFAULT_PROCESSOR = "cortex-a72"
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
_NUM_CORES = 2
# The oldest C library that a wheel of Python 3.11 may name.
_OLDEST_GLIBC = 17


class EmulationError(LotteryError):
    """No ARM Linux can be made here: a program or the network is missing."""


@dataclass(frozen=True, kw_only=True)
class ArmPython:
    """Python on emulated 64-bit ARM, with lottery-asr installed.

    Args:
        root: folder of the system; QEMU's -L.
        environment: folder of the virtual environment.
        wheel: what was installed.
    """

    root: Path
    environment: Path
    wheel: Path

    @property
    def has_engine(self):
        """Whether the ticket engine's library was compiled into the wheel."""
        return not self.wheel.name.endswith("-any.whl")

    @property
    def python(self):
        """Path of the environment's Python."""
        return self.environment / "bin" / "python"

    def run(self, *arguments, processor=DEFAULT_PROCESSOR):
        """Run Python with arguments, the current folder off its module path, and return what it printed on stdout.

        Raises:
            LotteryError: it ended with another status than 0.
        """
        return _run([*emulator(self.root, processor=processor), str(self.python), "-P", *map(str, arguments)])

    def installed_sizes(self):
        """Return {distribution: {"version", "bytes"}} of what is installed."""
        return json.loads(self.run("-c", LIST_FILES))

    def script(self, name):
        """Return the path of an installed command, to be run as an argument of `run`."""
        return self.environment / "bin" / name


def emulator(root, *, processor):
    """Return the command that runs the programs of a system on a processor, which they also see in /proc/cpuinfo.

    Raises:
        EmulationError: QEMU is not installed.
    """
    show_processor(root, processor)
    return [find_emulator(), "-cpu", processor, "-L", str(root)]


def show_processor(root, processor):
    """Let the programs of a system see a processor in /proc/cpuinfo."""
    part, features = PROCESSORS[processor]
    lines = [
        "BogoMIPS\t: 108.00", f"Features\t: {features}", "CPU implementer\t: 0x41", "CPU architecture: 8",
        "CPU variant\t: 0x0", f"CPU part\t: {part}", "CPU revision\t: 3",
    ]  # fmt: skip
    cores = ("\n".join([f"processor\t: {core}", *lines]) for core in range(_NUM_CORES))
    shown = Path(root) / "proc" / "cpuinfo"
    shown.parent.mkdir(parents=True, exist_ok=True)
    shown.write_text("\n\n".join(cores) + "\n\n")


def find_emulator():
    """Return the name of QEMU's user emulation.

    Raises:
        EmulationError: it is not installed.
    """
    found = next(filter(shutil.which, _EMULATORS), None)
    if found is None:
        raise EmulationError("qemu-aarch64 is not installed", hint="Debian: apt install qemu-user-static")
    return found


def clean_environment():
    """Return this process's environment without what would lead Python or the engine to files of this machine."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOTTERY_ENGINE", "PIP_"))
    }


def make_arm_python(folder, *, cache=None):
    """Make an ARM Linux with lottery-asr installed.

    Args:
        folder: where the environment and the project's wheel go; made where absent.
        cache: where the system and the downloaded wheels are kept for the next time; None is `folder`.
    Returns:
        ArmPython.
    Raises:
        EmulationError: QEMU or apt-get is missing, or something cannot be downloaded.
        LotteryError: the wheel cannot be built, or pip refuses to install it.
    """
    folder = Path(folder).resolve()
    cache = folder if cache is None else Path(cache).resolve()
    find_emulator()
    root = cache / "root"
    if not root.is_dir():
        _unpack_debian(root, work=cache / "debian")
    (python,) = root.glob("usr/bin/python3.*[0-9]")
    wheels = _download_wheels(cache, version=python.name.removeprefix("python"))
    wheel = build_arm_wheel(folder)
    arm = ArmPython(root=root, environment=folder / "venv", wheel=wheel)
    shutil.rmtree(arm.environment, ignore_errors=True)
    _run(
        [*emulator(root, processor=DEFAULT_PROCESSOR), str(python), "-m", "venv", "--without-pip", str(arm.environment)]
    )
    # The pip that every Python brings, Debian's in a folder of its own; it runs on any processor.
    places = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    pip = next(wheel for place in places for wheel in place.glob("pip-*.whl"))
    options = ["--isolated", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]
    options += ["--root-user-action=ignore", "--no-index", "--find-links", wheels]
    arm.run(pip / "pip", *options, wheel)
    return arm


def build_arm_wheel(folder):
    """Build the project's wheel for aarch64 and return its path; without a cross compiler it has no engine."""
    source, out = Path(folder) / "source", Path(folder) / "wheel"
    for used in (source, out):
        shutil.rmtree(used, ignore_errors=True)
    copy_sources(source)
    try:
        compiler = find_compiler(target=ARCHITECTURE).command[0]
    except BuildError:
        compiler = "false"
    # The platform that setuptools names its products after.
    environment = os.environ | {"CXX": compiler, "_PYTHON_HOST_PLATFORM": f"linux-{ARCHITECTURE}"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)], capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise LotteryError(f"pip cannot build the wheel for {ARCHITECTURE}: {done.stderr.strip()}")
    (path,) = out.glob("*.whl")
    return path


def _unpack_debian(root, *, work):
    """Unpack Debian packages into `root`; apt keeps its state in `work`, which goes afterwards."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise EmulationError("apt-get is not installed", hint="make the ARM system on Debian")
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": work,
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    get = [*apt, "--yes", "--no-install-recommends", "--download-only", "install", *DEBIAN_PACKAGES]
    # Fails where any source of the host's has nothing for ARM; what matters is whether the packages can be had.
    subprocess.run([*apt, "update"], capture_output=True)
    _download(get, hint="is Debian's package server within reach?")
    unfinished = root.with_name("root.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for package in sorted(work.glob("cache/archives/*.deb")):
        _download(["dpkg-deb", "--extract", str(package), str(unfinished)], hint="is the disk full?")
    if not (unfinished / "lib").exists():
        # Later releases hold everything in /usr; programs name their loader /lib/ld-linux-aarch64.so.1.
        (unfinished / "lib").symlink_to("usr/lib")
    unfinished.rename(root)
    shutil.rmtree(work)


def _download_wheels(cache, *, version):
    """Return a folder with what a plain install pulls on aarch64, for a version of Python such as "3.11"."""
    constraints = CHECKOUT / "constraints.txt"
    names = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    content = hashlib.sha256("\n".join([version, *names, constraints.read_text()]).encode()).hexdigest()
    folder = cache / f"wheels-{content[:12]}"
    if folder.is_dir():
        return folder
    unfinished = cache / "wheels.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    newest = int(platform.libc_ver()[1].split(".")[1])
    tags = [f"manylinux_2_{minor}_{ARCHITECTURE}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
    tags.append(f"manylinux2014_{ARCHITECTURE}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--python-version", version, "--dest", str(unfinished)]
    command += [word for tag in tags for word in ("--platform", tag)]
    _download([*command, "--constraint", str(constraints), *names], hint="is PyPI within reach?")
    unfinished.rename(folder)
    return folder


def _run(command):
    """Run a program of the other system and return its stdout; raise LotteryError where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    if done.returncode != 0:
        program = " ".join(command[command.index("-L") + 2 :])
        raise LotteryError(f"{program} ends with status {done.returncode} on {ARCHITECTURE}: {done.stderr.strip()}")
    return done.stdout


def _download(command, *, hint):
    """Run a program that needs the network; raise EmulationError where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        said = done.stdout.strip().splitlines()[-1:] or ["no message"]
        raise EmulationError(f"{command[0]} ended with status {done.returncode}: {said[0]}", hint=hint)
