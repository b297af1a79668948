"""How a measurement came about: kept in NAME.json beside NAME.csv, under what the column `run` holds."""

import ast
import hashlib
import importlib.util
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
# tests/test_experiment_version.py trains and prunes a tiny network and fails when the numbers move without it.
EXPERIMENT_VERSION = 1

# What a run's record says for information: none of it decides whether a row is still valid.
INFORMATION = frozenset(
    "source_sha256 commit differed date started versions cpu gpu threads wall_seconds command".split()
)

# What an analysis or a prune executes: part of every source hash.
CORE = (
    *("amounts", "analysis", "arrays", "counters", "device", "device_kernels", "halves", "kernels", "magnitudes"),
    *("measurement", "moments", "parameters", "pareto", "pruning", "rules", "similarity"),
)


def record_run(
    table: str | Path, settings: Mapping[str, Any], seconds: float | None = None, command: str | None = None
) -> str:
    """Record a run beside `table` and return its id, 12 hexadecimal digits.

    `settings` name all that decides the result (the data and the parent's weights by their hashes), and for information
    the source by its hash; the id is a hash of all of them and of `EXPERIMENT_VERSION`. Commit, versions, machine,
    start and `command`, which measures the run again, are recorded when a run is first seen; `seconds` is its wall
    time, once that is known. Runs whose `settings_key` is equal measure the same, whatever their ids.
    """
    settings = {**settings, "experiment_version": EXPERIMENT_VERSION}
    run = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    with locked(table):
        runs = provenance(table)
        if run not in runs:
            runs[run] = {**settings, **surroundings(), **({"command": command} if command else {})}
        if seconds is not None:
            runs[run]["wall_seconds"] = round(seconds, 3)
        write_atomic(_record(table), json.dumps(runs, indent=1, sort_keys=True).encode() + b"\n")
    return run


def settings_key(run: Mapping[str, Any]) -> str:
    """The settings that decide a run's results, as canonical JSON: equal for runs that measure the same."""
    return json.dumps({name: run[name] for name in run.keys() - INFORMATION}, sort_keys=True)


def keep_runs(table: str | Path, runs: Iterable[str]) -> None:
    """Forget the runs recorded beside `table` but these: the ones of which it still has rows."""
    asked = set(runs)
    with locked(table):
        kept = {run: facts for run, facts in provenance(table).items() if run in asked}
        write_atomic(_record(table), json.dumps(kept, indent=1, sort_keys=True).encode() + b"\n")


def provenance(table: str | Path) -> dict[str, dict[str, Any]]:
    """What is recorded beside `table`: run -> its settings and surroundings; empty where nothing is."""
    record = _record(table)
    try:
        return json.loads(record.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{record}: expected a JSON object ({error})") from error


def _record(table: str | Path) -> Path:
    return Path(table).with_suffix(".json")


def source_hash(modules: Iterable[str]) -> str:
    """A sha256 of what the named modules of this package do.

    It is taken over their syntax trees, so that neither comments nor docstrings nor layout count. Trees differ between
    versions of Python, which the provenance names.
    """
    digest = hashlib.sha256()
    for module in sorted(modules):
        spec = importlib.util.find_spec(f"wmgp.{module}")
        if spec is None or spec.origin is None:
            raise InputError(f"module 'wmgp.{module}': not found")
        tree = _without_docstrings(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        digest.update(f"{module}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """The sha256 of a state dict: names, shapes, dtypes and bytes of its values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def surroundings() -> dict[str, Any]:
    """When, where and with what: none of it changes the id of a run.

    Where files of the checkout differ from the commit, that has a mark, and `differed` names them (see `measured_by`).
    """
    now = datetime.now(UTC)
    commit = _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    changed = _git("diff", "--name-only", "HEAD") if commit and commit.endswith("-dirty") else None
    return {
        "commit": commit,
        **({"differed": changed.splitlines()} if changed else {}),
        "date": now.date().isoformat(),
        "started": now.isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: metadata.version(p) for p in ("torch", "numpy")},
        "cpu": _cpu(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }


def measured_by(run: Mapping[str, Any]) -> str:
    """The commit of a recorded run, without its mark where nothing but records in `results/` differed from it.

    Those are what runs write, a parent's record among them; no run executes them. "" where no commit is known.
    """
    commit, differed = run.get("commit") or "", run.get("differed") or [""]
    return commit.removesuffix("-dirty") if all(name.startswith("results/") for name in differed) else commit


def _git(*arguments: str) -> str | None:
    """What git says of the package's checkout; None outside one."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    """The processor by the name it gives itself, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
