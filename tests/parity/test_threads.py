"""What threads and batches may change with a real network: classes at ties only."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kappamask_catalog.scene import DemoScene, write_product
from kappamask_catalog.sources import Product, open_product
from kappamask_udf.engine import predict
from kappamask_udf.models import load_registry
from kappamask_udf.session import open_session

TIE = 1e-4


def run(product: Product, threads: int, batch_size: int) -> NDArray[np.float32]:
    """(6, rows, cols) probabilities."""
    session = open_session(load_registry().default("L1C").spec, "cpu", threads)
    strips = predict(product, session, batch_size=batch_size, with_probabilities=True)
    planes = [strip.probabilities for strip in strips if strip.probabilities is not None]
    return np.concatenate(planes, axis=1)


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 1), (2, 3), (3, 2)])
def test_threads_and_batch_size_change_classes_at_ties_only(
    tmp_path: Path, threads: int, batch_size: int
) -> None:
    paths = write_product(DemoScene(size_px=720), tmp_path)
    with open_product(str(paths.safe)) as product:
        expected = run(product, threads=2, batch_size=1)
        got = run(product, threads, batch_size)
    second, best = np.sort(expected, axis=0)[-2:]
    is_clear_choice = best - second >= TIE
    assert np.abs(got - expected).max() < TIE
    assert (got.argmax(axis=0) == expected.argmax(axis=0))[is_clear_choice].all()
    assert is_clear_choice.mean() > 0.99
