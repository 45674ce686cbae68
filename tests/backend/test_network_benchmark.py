"""`kappamask benchmark network`: contenders in processes of their own, in turns."""

import json
import sys
from pathlib import Path

import pytest

from kappamask_backend.contenders import keras_original

from .conftest import Run

MODEL = "ukis-csmask-4b-l1c"


def test_contenders_are_compared_with_the_network(run: Run) -> None:
    answer = run(
        "benchmark", "network", "--model", MODEL, "--other", "ukis-csmask-6b-l1c",
        "--rounds", "1", "--tiles", "2", "--threads", "1", "--json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.stderr
    report = json.loads(answer.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    assert set(rows) == {
        "matrix product, float32", "matrix product, int8", "network",
        "network, one tile at a time", "ukis-csmask-6b-l1c",
    }  # fmt: skip
    assert rows["network"]["ratio"] == 1
    assert rows["matrix product, float32"]["gflops"] > 1
    assert rows["network"]["gflops"] is None
    for row in rows.values():
        assert 0 < row["cpu_seconds"] < 3 * row["seconds"]
        assert row["peak_memory_bytes"] > 20e6
        assert row["ratio"] == pytest.approx(row["seconds"] / rows["network"]["seconds"])


def test_contender_that_fails_says_why(run: Run) -> None:
    arguments = ("benchmark", "network", "--model", MODEL, "--rounds", "1", "--tiles", "2")
    answer = run(*arguments, "--other", "no-such-model", "-q")
    assert answer.exit_code == 1
    assert "contender 'no-such-model' ended with exit code 1" in answer.error
    assert "no model is called 'no-such-model'" in answer.error


def test_original_needs_all_that_it_needs(run: Run, tmp_path: Path) -> None:
    answer = run("benchmark", "network", "--original-python", sys.executable)
    assert answer.exit_code == 1
    assert "--original-checkout and --weights" in answer.error


def test_original_without_its_packages_says_what_is_missing(run: Run, weights_l1c: Path) -> None:
    """This environment has no TensorFlow: the script starts and its own error comes through."""
    answer = run(
        "benchmark", "network", "--model", MODEL, "--rounds", "1", "--tiles", "2", "-q",
        "--weights", weights_l1c, "--original-python", sys.executable,
        "--original-checkout", Path(keras_original.__file__).parent,
    )  # fmt: skip
    assert answer.exit_code == 1
    assert "contender 'Keras, network' ended with exit code 1" in answer.error
    assert "No module named 'tensorflow'" in answer.error
    answer = run(
        "benchmark", "network", "--model", MODEL, "--rounds", "1", "--tiles", "2", "-q",
        "--weights", weights_l1c, "--original-python", "no-such-python",
        "--original-checkout", "checkout",
    )  # fmt: skip
    assert "cannot start the contender 'Keras, network': no-such-python" in answer.error
