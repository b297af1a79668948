"""Run tasks in parallel by joblib, yield results as they finish, and repeat the tasks of workers that died."""

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
TaskResult = tuple[int, Any, Exception | None]  # number of the task, and its result or its error
TaskResults = Generator[TaskResult, None, None]
MAX_FAILURES = 3  # failures in a row without any result


@contextmanager
def use_backend(backend: str | None, jobs: int) -> Generator[None, None, None]:
    """Start the backend with `jobs` processes and make joblib use it within the context.

    `dask` connects to the scheduler at DASK_SCHEDULER_ADDRESS and `ray` to the cluster at RAY_ADDRESS; without these
    variables they start local workers. None keeps the caller's joblib configuration. Raises InputError if the
    backend's package is missing.
    """
    starts = {"dask": _dask, "ray": _ray}
    if backend is None:
        yield
    elif backend not in starts:
        with parallel_config(backend, n_jobs=jobs):
            yield
    else:
        with (
            require_extra("distributed", f"backend {backend!r}: "),
            starts[backend](jobs),
            parallel_config(backend, n_jobs=jobs),
        ):
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
    """Yield `work(*task)` of every task, in the order in which they finish, on joblib's current backend.

    `work` is a function of a module. Its exceptions are raised here. If a worker dies, its tasks run again. Raises
    InputError after `MAX_FAILURES` failures in a row without a result.
    """
    work, remaining, failures = importable(work), dict(enumerate(tasks)), 0
    while remaining:
        before = len(remaining)
        try:
            with _closing_without_warnings(_run_remaining(work, remaining)) as results:
                for number, result, error in results:
                    del remaining[number]
                    if error is not None:
                        break
                    yield result
                else:
                    continue
        except Exception as failure:  # of joblib or a worker: exceptions of the work are results
            failures = failures + 1 if len(remaining) == before else 1
            if failures == MAX_FAILURES:
                reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
                raise InputError(f"workers failed {MAX_FAILURES} times without a result ({reason})") from failure
            continue
        raise error


def importable(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function from its importable module, which `python -m` runs under the name "__main__"."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if work.__module__ != "__main__" or spec is None:
        return work
    return getattr(importlib.import_module(spec.name), work.__name__)


@contextmanager
def _closing_without_warnings(results: TaskResults) -> Generator[TaskResults, None, None]:
    """Close the results without joblib's warning about unused results, which follow an error."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _run_remaining(work: Callable[..., Any], tasks: dict[int, tuple[Any, ...]]) -> TaskResults:
    """Run all tasks once. If the backend cannot return results one by one, run a few tasks at a time."""
    calls = [delayed(_run_task)(work, number, task) for number, task in tasks.items()]
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


def _run_task(work: Callable[..., Any], number: int, task: tuple[Any, ...]) -> TaskResult:
    try:
        return number, work(*task), None
    except Exception as error:
        return number, None, error
