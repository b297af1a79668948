"""Sweeps: train parents, prune them by every method and amount, fine-tune them, and record a row for each prune.

On a CPU every job uses one thread. The rows therefore do not depend on the number of processes or the backend.
"""

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...pruning_methods import METHODS
from ..models import IMAGE_SHAPES
from ..results.tables import SWEEP
from ..training.loop import choose_device
from ..training.recipes import experiment_config, min_parent_accuracy
from .presets import Sweep, sweep_command
from .resume import Experiment, Job, Progress, no_progress, resume
from .worker import Location, ParentSpec, jobs_per_task, load_images, measure_rows, parent_settings


def run(
    sweeps: Iterable[Sweep],
    out: str | Path,
    jobs: int = 1,
    device: str = "auto",
    backend: str | None = "loky",
    progress: Progress = no_progress,
) -> int:
    """Measure the sweeps' rows that are missing in the table `out`, and return the number of missing rows.

    A row is present if the settings of its run (data, parent, recipes, `EXPERIMENT_VERSION`), its method and its amount
    are equal. Parents are saved in the folder `parents` beside the table. `jobs`: number of processes. `backend`:
    "loky" (local processes), "dask", "ray", another backend of joblib, or None for the caller's joblib configuration.
    Warns of each parent below `recipes.MIN_PARENT_ACCURACY`. Raises InputError, naming the setting or the file, if the
    sweep or the table is invalid.
    """
    out = Path(out).absolute()
    location = Location(str(choose_device(device)), out.parent / "parents")
    warned: set[str] = set()

    def on_row(row: dict[str, Any]) -> None:
        if row["run"] not in warned:
            warned.add(row["run"])
            _warn_of_low_accuracy(row)

    experiment = Experiment(
        SWEEP, ("method", "amount"), parent_settings, _jobs, measure_rows,
        lambda spec: sweep_command(spec.sweep, out), _jobs_per_task,
    )  # fmt: skip
    specs = [spec for sweep in sweeps for spec in _parent_specs(sweep, location)]
    return resume(out, specs, experiment, jobs, backend, progress, on_row)


def _jobs(spec: ParentSpec) -> list[Job]:
    return [(method, float(amount)) for method in spec.sweep.methods for amount in spec.sweep.amounts]


def _jobs_per_task(spec: ParentSpec) -> int:
    return 1 if spec.sweep.build else jobs_per_task(spec.sweep.network, spec.location.device_type)


def _warn_of_low_accuracy(row: dict[str, Any]) -> None:
    """Warn if the parent has learnt too little to measure what pruning costs."""
    minimum = min_parent_accuracy(row["network"], row["data"])
    if minimum is not None and row["accuracy_parent"] < minimum:
        warnings.warn(
            f"{row['network']} on {row['data']}, seed {row['seed']}: the parent's accuracy is "
            f"{row['accuracy_parent']:.2%}, expected at least {minimum:.0%}: its prunes are no evidence",
            stacklevel=4,
        )


def _parent_specs(sweep: Sweep, location: Location) -> list[ParentSpec]:
    """Check the sweep and return its parents, one per seed. Raises InputError naming the invalid setting."""
    for method in sweep.methods:
        if method not in METHODS:
            raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    if invalid := [amount for amount in sweep.amounts if not 0 <= amount <= 1]:
        raise InputError(f"amount {invalid[0]}: expected a share in [0, 1]")
    if not (sweep.methods and sweep.amounts and sweep.seeds):
        raise InputError("a sweep needs at least one method, one amount and one seed")
    if sweep.tuning_epochs is not None and sweep.tuning_epochs < 0:
        raise InputError(f"tuning_epochs {sweep.tuning_epochs}: expected a whole number from 0")
    if sweep.tuning_rate is not None and not 0 < sweep.tuning_rate < float("inf"):
        raise InputError(f"tuning_rate {sweep.tuning_rate}: expected a learning rate above 0")
    if sweep.build is None and sweep.network not in IMAGE_SHAPES:
        raise InputError(f"network {sweep.network!r}: expected one of {', '.join(IMAGE_SHAPES)}")
    if sweep.build is not None and sweep.config is None:
        raise InputError(f"network {sweep.network!r}: expected a config, because `build` is set")
    if sweep.config is not None and sweep.recipe is not None:
        raise InputError(f"recipe {sweep.recipe!r}: expected None, because `config` is set")
    config = sweep.config or experiment_config(sweep.network, sweep.data, sweep.recipe, location.device_type)
    if sweep.tuning_epochs is not None:
        config = replace(config, tuning_epochs=sweep.tuning_epochs)
    if sweep.tuning_rate is not None:
        config = replace(config, tuning=replace(config.tuning, learning_rate=sweep.tuning_rate))
    training, test = (load_images(sweep, train) for train in (True, False))
    shape = tuple(training.images.shape[1:])
    if sweep.build is None and shape != IMAGE_SHAPES[sweep.network]:
        raise InputError(
            f"network {sweep.network!r}: expected images of {IMAGE_SHAPES[sweep.network]} (channels, height, width), "
            f"found {shape} in data {sweep.data!r}"
        )
    hashes = {"train": training.sha256, "test": test.sha256}
    return [ParentSpec(sweep, config, seed, training.name, hashes, location) for seed in sweep.seeds]
