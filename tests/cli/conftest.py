"""What tests of the command line share."""

from __future__ import annotations

import pytest

from chainrule import load_mnist
from idx_files import write


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a folder with the first 500 training and 50 test images of MNIST."""
    (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
    folder = tmp_path_factory.mktemp("digits")
    return write(folder, train=(x[:500, 0], t[:500]), test=(x_test[:50, 0], t_test[:50]))
