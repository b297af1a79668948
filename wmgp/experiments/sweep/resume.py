"""Resumable experiments: measure missing rows of a table in parallel and append each as soon as it is measured.

Only the main process writes the table. An experiment can be stopped at any time and started again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..results.provenance import current_key, provenance, record_run, settings_key
from ..results.tables import Cell, append_row, has_rows, read
from .backends import importable, run_tasks, use_backend

Job = tuple[Any, ...]  # values of the columns `Experiment.key`
Row = dict[str, Cell]
Progress = Callable[[str, int, int], None]  # arguments: "parents" or "jobs", number done, total


def one_job(spec: Any) -> int:
    """Give a worker one job at a time."""
    return 1


def no_progress(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Experiment:
    """The functions of an experiment. A spec, which can be pickled, describes one parent network and all its jobs.

    `settings` and `rows` run in other processes and must therefore be functions of a module.
    """

    columns: tuple[str, ...]  # columns of the table
    key: tuple[str, ...]  # columns that identify a job within a run
    settings: Callable[
        [Any], dict[str, Any]
    ]  # spec -> every setting that decides the results; trains or reads the parent
    jobs: Callable[[Any], Iterable[Job]]  # spec -> its jobs
    rows: Callable[[Any, str, list[Job]], list[Row]]  # spec, run id, jobs -> their rows
    command: Callable[[Any], str]  # spec -> the command that measures its rows again
    batch: Callable[[Any], int] = one_job  # spec -> number of jobs that a worker gets at a time


def resume(
    out: str | Path,
    specs: Iterable[Any],
    experiment: Experiment,
    workers: int = 1,
    backend: str | None = "loky",
    progress: Progress = no_progress,
    on_row: Callable[[Row], None] = lambda row: None,
) -> int:
    """Measure the specs' rows that are missing in the table `out`, and return the number of missing jobs.

    A row counts as present if a run with equal settings (`provenance.settings_key`) has a row with the same key.
    `backend`: see `backends.use_backend`. `on_row` is called with every new row. Raises InputError, naming the file, if
    the table has other columns or cannot be written.
    """
    out, specs = Path(out).absolute(), list(specs)
    present = _present_jobs(out, experiment)
    try:
        with use_backend(backend, workers):
            missing = _missing_jobs(_read_settings(specs, experiment, progress), present, experiment)
            tasks = list(_tasks(out, missing, experiment))
            _append_rows(out, tasks, experiment, progress, on_row)
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}") from error
    return sum(len(jobs) for *_, jobs in missing)


def _present_jobs(out: Path, experiment: Experiment) -> set[tuple[str, Job]]:
    """Return the settings and the job of every row in the table."""
    if not has_rows(out):
        return set()
    rows, runs = read(out), provenance(out)
    if tuple(rows.columns) != experiment.columns:
        raise InputError(f"{out}: expected a table of the columns {', '.join(experiment.columns)}")
    settings = [settings_key(runs[run]) for run in rows["run"]]
    return set(zip(settings, zip(*(rows[name] for name in experiment.key), strict=True), strict=True))


def _read_settings(specs: list[Any], experiment: Experiment, progress: Progress) -> list[tuple[Any, dict[str, Any]]]:
    """Train or read every parent, and return the specs with their settings."""
    work, settings_by_number = importable(experiment.settings), {}
    progress("parents", 0, len(specs))
    with closing(run_tasks(_numbered, [(work, i, spec) for i, spec in enumerate(specs)])) as results:
        for done, (i, settings) in enumerate(results, 1):
            settings_by_number[i] = settings
            progress("parents", done, len(specs))
    return [(spec, settings_by_number[i]) for i, spec in enumerate(specs)]


def _missing_jobs(
    specs: list[tuple[Any, dict[str, Any]]], present: set[tuple[str, Job]], experiment: Experiment
) -> list[tuple[Any, dict[str, Any], list[Job]]]:
    """Return the specs with missing rows, their settings and missing jobs; each job once, even if specs share it."""
    seen, missing = set(present), []
    for spec, settings in specs:
        key, jobs = current_key(settings), []
        for job in map(tuple, experiment.jobs(spec)):
            if (key, job) not in seen:
                seen.add((key, job))
                jobs.append(job)
        if jobs:
            missing.append((spec, settings, jobs))
    return missing


def _tasks(
    out: Path, missing: list[tuple[Any, dict[str, Any], list[Job]]], experiment: Experiment
) -> Iterator[tuple[Any, str, list[Job]]]:
    """Record the runs, and split their jobs into the batches that workers get."""
    for spec, settings, jobs in missing:
        run, size = record_run(out, settings, experiment.command(spec)), experiment.batch(spec)
        for start in range(0, len(jobs), size):
            yield spec, run, jobs[start : start + size]


def _append_rows(
    out: Path,
    tasks: list[tuple[Any, str, list[Job]]],
    experiment: Experiment,
    progress: Progress,
    on_row: Callable[[Row], None],
) -> None:
    done, total = 0, sum(len(jobs) for _, _, jobs in tasks)
    progress("jobs", 0, total)
    work = importable(experiment.rows)
    with closing(run_tasks(_counted, [(work, *task) for task in tasks])) as results:
        for jobs, rows in results:
            for row in rows:
                append_row(out, row, unless=("run", *experiment.key))  # another process may have added it
                on_row(row)
            done += jobs
            progress("jobs", done, total)


def _numbered(work: Callable[[Any], Any], i: int, spec: Any) -> tuple[int, Any]:
    return i, work(spec)


def _counted(work: Callable[..., list[Row]], spec: Any, run: str, jobs: list[Job]) -> tuple[int, list[Row]]:
    return len(jobs), work(spec, run, jobs)
