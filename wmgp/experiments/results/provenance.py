"""Provenance of measurements: NAME.json beside NAME.csv has an entry for each value of the column `run`."""

import functools
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...io.atomic import write_atomic
from .array_files import locked

# Raise this by hand when a change can alter a recorded result: rows of an older version are then measured again.
# tests/test_experiment_version.py trains and prunes a tiny network and fails if its results change without it.
EXPERIMENT_VERSION = 1

# Facts of a run that are recorded for information: none of them decides whether a row is still valid.
INFORMATION = frozenset(
    "source_sha256 commit differed date started versions cpu gpu threads wall_seconds command".split()
)
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")  # whose versions are recorded


def record_run(table: str | Path, settings: Mapping[str, Any], command: str, seconds: float | None = None) -> str:
    """Record a run beside `table` and return its id, 12 hexadecimal digits.

    `settings`: everything that decides the result, including hashes of the data and the parent's weights. `command`
    measures the run again. The id is a hash of the settings, `EXPERIMENT_VERSION` and the source. Commit, versions,
    machine and start are recorded at the first call; `seconds`, the wall time, may follow in a later call.
    """
    settings = {**settings, "experiment_version": EXPERIMENT_VERSION}
    key = json.dumps([settings, source_hash()], sort_keys=True)
    run = hashlib.sha256(key.encode()).hexdigest()[:12]
    with locked(table):
        runs = provenance(table)
        if run not in runs:
            runs[run] = {**settings, **surroundings(), "command": command}
        if seconds is not None:
            runs[run]["wall_seconds"] = round(seconds, 3)
        write_atomic(_record(table), json.dumps(runs, indent=1, sort_keys=True).encode() + b"\n")
    return run


def settings_key(run: Mapping[str, Any]) -> str:
    """Return the settings that decide a run's results, as canonical JSON: equal for runs that measure the same."""
    return json.dumps({name: run[name] for name in run.keys() - INFORMATION}, sort_keys=True)


def current_key(settings: Mapping[str, Any]) -> str:
    """Return the `settings_key` of a run that would be recorded now with these settings."""
    return settings_key({**settings, "experiment_version": EXPERIMENT_VERSION})


def keep_runs(table: str | Path, runs: Iterable[str]) -> None:
    """Delete all runs recorded beside `table` except `runs`, which still have rows."""
    asked = set(runs)
    with locked(table):
        kept = {run: facts for run, facts in provenance(table).items() if run in asked}
        write_atomic(_record(table), json.dumps(kept, indent=1, sort_keys=True).encode() + b"\n")


def provenance(table: str | Path) -> dict[str, dict[str, Any]]:
    """Return the runs recorded beside `table`: id -> settings and surroundings; empty without a record.

    Raises InputError if the record cannot be read as JSON.
    """
    record = _record(table)
    try:
        return json.loads(record.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{record}: expected a JSON object ({error})") from error


def _record(table: str | Path) -> Path:
    return Path(table).with_suffix(".json")


@functools.cache
def source_hash() -> str:
    """Return the sha256 of the package's Python files, for information."""
    package, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of a state dict: names, shapes, dtypes and bytes of its values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def surroundings() -> dict[str, Any]:
    """Return the commit, time, versions and machine of a run, for information only.

    If files of the checkout differ from the commit, `commit` ends in "-dirty" and `differed` names the files.
    """
    now = datetime.now(UTC)
    commit = _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    changed = _git("diff", "--name-only", "HEAD") if commit and commit.endswith("-dirty") else None
    return {
        "commit": commit,
        **({"differed": changed.splitlines()} if changed else {}),
        "source_sha256": source_hash(),
        "date": now.date().isoformat(),
        "started": now.isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_package_versions()},
        "cpu": _cpu(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def _package_versions() -> dict[str, str]:
    installed = {name for names in metadata.packages_distributions().values() for name in names}
    return {name: metadata.version(name) for name in PACKAGES if name in installed}


def measured_by(run: Mapping[str, Any]) -> str:
    """Return the commit of a run, without "-dirty" if only files in `results/` differed from it; "" if unknown.

    Runs write these files, such as a parent's record, but do not execute them.
    """
    commit, differed = run.get("commit") or "", run.get("differed") or [""]
    return commit.removesuffix("-dirty") if all(name.startswith("results/") for name in differed) else commit


def _git(*arguments: str) -> str | None:
    """Return git's output for the package's checkout; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    """Return the processor's model name, or its architecture if the system does not give the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
