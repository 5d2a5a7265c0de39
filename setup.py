"""Compiles the ticket engine into the package where a C++ compiler is present; pyproject.toml says everything else.

Without a compiler the installation succeeds all the same, and everything runs on onnxruntime.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).resolve().parent))

from runtime.engine.build import FOLDER, BuildError, build, library_name


class BuildWithEngine(build_py):
    """Copies the packages, then compiles the library beside runtime/engine/library.py."""

    def run(self):
        super().run()
        folder = FOLDER if self.editable_mode else self._built_library().parent
        try:
            built = build(folder)
        except (BuildError, OSError) as error:
            # What an earlier build left there must not pass for this one's.
            (folder / library_name()).unlink(missing_ok=True)
            print(f"lottery-asr: the ticket engine is not built: {error}", file=sys.stderr)
            print("lottery-asr: it is not required, everything runs on onnxruntime", file=sys.stderr)
            return
        for note in built.notes:
            print(f"lottery-asr: {note}", file=sys.stderr)
        print(f"lottery-asr: ticket engine built for {', '.join(built.instruction_sets)}", file=sys.stderr)

    def get_outputs(self, include_bytecode=True):
        """Return the files of build_lib, the library among them."""
        library = self._built_library()
        return super().get_outputs(include_bytecode) + ([str(library)] if library.is_file() else [])

    def _built_library(self):
        return Path(self.build_lib, "runtime", "engine", library_name())


class EngineWheel(bdist_wheel):
    """A wheel for this platform and any Python 3 where the library is inside, for any platform where it is not."""

    def run(self):
        if not self.skip_build:
            self.run_command("build")
        if Path(self.get_finalized_command("build_py").build_lib, "runtime", "engine", library_name()).is_file():
            self.root_is_pure = False
            # The question by which the install command chooses the wheel's folder.
            self.distribution.has_ext_modules = lambda: True
        super().run()

    def get_tag(self):
        """Return (python, abi, platform): the library knows nothing of Python's ABI."""
        tag = super().get_tag()
        return tag if self.root_is_pure else ("py3", "none", tag[2])


setup(cmdclass={"build_py": BuildWithEngine, "bdist_wheel": EngineWheel})
