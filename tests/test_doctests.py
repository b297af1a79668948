"""The examples in the docstrings run and give the results they show, and every public function has one."""

import doctest
import importlib
import inspect
import warnings
from pathlib import Path

import pytest

import wmgp

FOLDER = Path(wmgp.__file__).parent
MODULES = [
    ".".join(("wmgp", *path.relative_to(FOLDER).with_suffix("").parts))
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
PUBLIC_METHODS = ("at_amount", "at_cosine", "to_dict")


def examples(module) -> list[doctest.DocTest]:
    """The doctests of a module's own functions, classes and methods.

    The tests wrap functions to check shapes. doctest's search for a module's members skips wrapped functions.
    """
    finder = doctest.DocTestFinder(exclude_empty=True)
    members = [
        (name, value) for name, value in vars(module).items() if inspect.isroutine(value) or inspect.isclass(value)
    ]
    owned = [(name, value) for name, value in members if value.__module__ == module.__name__]
    return [
        test
        for name, value in owned
        for test in finder.find(value, f"{module.__name__}.{name}", module=False, globs={})  # pyright: ignore
        if test.examples
    ]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_the_results_they_show(name):
    for test in examples(importlib.import_module(name)):
        report: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = doctest.DocTestRunner().run(test, out=report.append)
        assert result.failed == 0, f"{test.name}:\n{''.join(report)}"


def test_every_public_function_has_an_example():
    functions = [value for value in (getattr(wmgp, name) for name in wmgp.__all__) if inspect.isroutine(value)]
    functions += [getattr(wmgp.Analysis, name) for name in PUBLIC_METHODS]
    assert [f.__qualname__ for f in functions if ">>>" not in (f.__doc__ or "")] == []


def test_the_search_finds_functions_and_methods():
    found = {test.name for name in MODULES for test in examples(importlib.import_module(name))}
    assert {"wmgp.analysis.analyze", "wmgp.analysis.Analysis.at_amount", "wmgp.pareto.safe_amount"} <= found
