"""A virtual microphone for tests; it skips, visibly, where the machine cannot have one."""

import pytest

from tests.live.virtual_microphone import VirtualMicrophone, missing
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def virtual_microphone():
    """Return a function that makes a VirtualMicrophone of a rate, a number of channels and a speed."""
    complaint = missing()
    if complaint:
        pytest.skip(f"no virtual microphone: {complaint}")
    return VirtualMicrophone


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Return the path of the bundle whose words are tones."""
    return write_tiny_bundle(tmp_path_factory.mktemp("live") / "bundle")
