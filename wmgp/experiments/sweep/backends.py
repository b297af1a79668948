"""Work spread over processes by joblib, with results as they come; what a dying worker held is given out again."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from ...errors import InputError, require_extra

BACKENDS = ("loky", "dask", "ray")
Numbered = tuple[int, Any, Exception | None]  # a task's number, its result, and the error that is there instead
Done = Generator[Numbered, None, None]
DEATHS = 3  # in a row, without a result between them: then it is the work that kills


@contextmanager
def cluster(backend: str | None, jobs: int) -> Generator[None, None, None]:
    """What the backend needs to run `jobs` processes, for as long as they are wanted; joblib uses it inside.

    `dask` connects to the scheduler of DASK_SCHEDULER_ADDRESS and `ray` to the cluster of RAY_ADDRESS; without these
    each starts workers of its own, here. None leaves joblib as the caller has configured it.
    """
    starts = {"dask": _dask, "ray": _ray}
    if backend is None:
        yield
    elif backend not in starts:
        with parallel_config(backend, n_jobs=jobs):
            yield
    else:
        needed = require_extra("distributed", f"backend {backend!r}: ")
        with needed, starts[backend](jobs), parallel_config(backend, n_jobs=jobs):
            yield


@contextmanager
def _dask(jobs: int) -> Generator[None, None, None]:
    from distributed import Client

    local: dict[str, Any] = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
    local["silence_logs"] = logging.CRITICAL
    with Client(**({} if "DASK_SCHEDULER_ADDRESS" in os.environ else local)):
        yield


@contextmanager
def _ray(jobs: int) -> Generator[None, None, None]:
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {"num_cpus": jobs, "include_dashboard": False, "log_to_driver": False}
    ray.init(logging_level=logging.ERROR, **({} if "RAY_ADDRESS" in os.environ else local))
    try:
        yield
    finally:
        ray.shutdown()


def run_tasks(work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Generator[Any, None, None]:
    """`work(*task)` of every task, in the order in which they are done, on joblib's backend of the moment.

    `work` is a function of a module, or of the program, where that runs as a module. What it raises is raised here.
    What a worker held that died is given out again, `DEATHS` times in a row.
    """
    work, left, deaths = importable(work), dict(enumerate(tasks)), 0
    while left:
        before = len(left)
        try:
            with _abandoning(_round(work, left)) as done:
                for number, result, error in done:
                    del left[number]
                    if error is not None:
                        break
                    yield result
                else:
                    continue
        except Exception as failure:  # of the machinery: what the work raises comes as a result
            deaths = deaths + 1 if len(left) == before else 1
            if deaths == DEATHS:
                reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
                raise InputError(f"workers failed {DEATHS} times without a result ({reason})") from failure
            continue
        raise error


def importable(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work by the name under which other processes can import it, where `python -m` calls its module "__main__"."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if work.__module__ != "__main__" or spec is None:
        return work
    return getattr(importlib.import_module(spec.name), work.__name__)


@contextmanager
def _abandoning(results: Done) -> Generator[Done, None, None]:
    """Close the results at the end; joblib warns of those that nobody took, here after an error."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _round(work: Callable[..., Any], tasks: dict[int, tuple[Any, ...]]) -> Done:
    """One try at all of the tasks. A backend that cannot give results one by one is asked for a few at a time."""
    calls = [delayed(_numbered)(work, number, task) for number, task in tasks.items()]
    one_by_one: Any = {"batch_size": 1}
    try:
        parallel: Any = Parallel(return_as="generator_unordered", **one_by_one)
    except ValueError:
        jobs: Any = effective_n_jobs()
        size = max(jobs, 1)
        parallel = Parallel(**one_by_one)
        with parallel:
            for start in range(0, len(calls), size):
                yield from parallel(calls[start : start + size])
    else:
        with closing(parallel(calls)) as results:
            yield from results


def _numbered(work: Callable[..., Any], number: int, task: tuple[Any, ...]) -> Numbered:
    try:
        return number, work(*task), None
    except Exception as error:
        return number, None, error
