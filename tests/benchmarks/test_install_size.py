"""What is installed for the measurement of size, without installing it."""

import tomllib

from benchmarks.install_size import CHECKOUT, dependencies_without_onnxruntime


def test_everything_but_onnxruntime_is_installed_where_it_is_left_out():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    left_out = set(project["dependencies"]) - set(dependencies_without_onnxruntime())
    assert [requirement.partition(">")[0] for requirement in left_out] == ["onnxruntime"]
