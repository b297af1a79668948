"""Shared test setup: shape checks, fixtures, and the order of the tests."""

import os
import pkgutil
from pathlib import Path

from jaxtyping import install_import_hook

# Every shape in the package's annotations is checked while the tests run, except in the
# modules that numba compiles.
ROOT = Path(__file__).parent.parent
PACKAGES = ("wmgp", "studies", "benchmarks")
COMPILED = {"wmgp._histogram.kernels"}
FOUND = [found for top in PACKAGES for found in pkgutil.walk_packages([str(ROOT / top)], f"{top}.")]
MODULES = [module.name for module in FOUND if not module.ispkg and module.name not in COMPILED]
install_import_hook(MODULES, "shapes.check").__enter__()

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from books import browser as browser  # noqa: E402  (fixtures)
from books import plain as plain  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("without a clock", deadline=None)  # the first call compiles, and the machine may be busy
settings.load_profile("without a clock")

# The longest modules run first, so that none runs alone at the end.
BOOK = ["test_home_page", "test_book", "test_links", "test_html_validity", "test_accessibility", "test_pdf"]
LONGEST = ["test_notebooks", *BOOK, "test_sweep", "test_site_metadata", "test_contributing", "test_training"]


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)  # stable: the order within a module stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process one test module at a time; all tests of the built book share a process."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = Path(nodeid.split("::")[0]).stem
            return "book" if name in BOOK else name

    return ByModule(config, log)


@pytest.fixture
def rng():
    return np.random.default_rng(20240507)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of data sets that WMGP_DATA names."""
    folder = os.environ.get("WMGP_DATA")
    if not folder:
        pytest.skip("needs real data: set WMGP_DATA to a folder that has it")
    return folder


@pytest.fixture
def histogram(monkeypatch):
    """Use the histogram for small sources too, and count half precision by value."""
    from wmgp._histogram import half_precision, measurement

    monkeypatch.setattr(measurement, "SORTED_BELOW", 0)
    monkeypatch.setattr(half_precision, "MIN_VALUES", 1)
