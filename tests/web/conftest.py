"""Fixtures of the page: onnxruntime-web, a tiny bundle, servers, and browsers that hear a clip."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from demo.web.server import PageServer, bundle_resources, page_resources, runtime_resources
from demo.web.vendor import installed_version, pinned_version, runtime_files
from runtime.errors import LotteryError
from runtime.shipped import shipped_bundle
from tests.tiny_bundle import write_tiny_bundle
from tests.web.chromium import Chromium, find_chromium
from tests.web.page import running


@pytest.fixture(scope="session")
def node():
    """Return the path of Node.js; skips visibly where there is none."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node.js is not installed: apt-get install nodejs npm")
    return path


@pytest.fixture(scope="session")
def vendored():
    """Return {name: Path} of onnxruntime-web's files; skips visibly where npm is missing or cannot get them."""
    if installed_version() != pinned_version() and shutil.which("npm") is None:
        pytest.skip("npm is not installed: apt-get install npm")
    try:
        return runtime_files()
    except LotteryError as error:
        pytest.skip(f"onnxruntime-web cannot be installed: {error}")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the folder of a tiny bundle."""
    return write_tiny_bundle(tmp_path_factory.mktemp("web") / "tiny")


@pytest.fixture(scope="session")
def real_bundle():
    """Return the folder of a trained bundle: $LOTTERY_BUNDLE or the one that comes along; skips visibly without."""
    try:
        return Path(os.environ.get("LOTTERY_BUNDLE") or shipped_bundle())
    except LotteryError as error:
        pytest.skip(f"no trained bundle: LOTTERY_BUNDLE is not set, and {error}")


@pytest.fixture(scope="session")
def serve(vendored):
    """Return a context manager: serve(bundle, **options) is a PageServer that runs."""

    @contextlib.contextmanager
    def serving(bundle, **options):
        resources = page_resources() | bundle_resources(bundle) | runtime_resources(vendored)
        with running(PageServer(resources, **options)) as server:
            yield server

    return serving


@pytest.fixture(scope="session")
def chromium():
    """Return the class Chromium; skips visibly where the browser is missing."""
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return Chromium
