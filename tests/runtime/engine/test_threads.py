"""Four threads on one model, without Python between them; under a sanitizer too in test_sanitizers.py."""

import shutil

from tests.runtime.engine.driver_build import Engine, compiler_or_skip
from tests.runtime.engine.small_tickets import small_tickets


def test_threads_compute_what_one_does(engine_library, tmp_path):
    """drivers/threads_driver.cpp compares; the library is the one that is installed."""
    library = tmp_path / engine_library.name
    shutil.copy(engine_library, library)
    engine = Engine(library=library, compiler=compiler_or_skip())
    paths = []
    for number, data in enumerate(small_tickets()):
        paths.append(tmp_path / f"{number}.ticket")
        paths[-1].write_bytes(data)
    program = engine.compile("threads_driver.cpp")
    # threads meet at other places each time
    for _ in range(3):
        assert engine.run(program, *paths) == f"{len(paths)} files\n"
