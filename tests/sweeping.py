"""A sweep over a few digits, as a program of its own: OUT BACKEND JOBS METHODS [kill].

With `kill`, one of its workers is killed once the first row is there.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from wmgp.experiments import data, models
from wmgp.experiments.sweep import runner
from wmgp.experiments.sweep.presets import Sweep, grid
from wmgp.experiments.sweep.resume import no_progress
from wmgp.experiments.training.recipes import DIGITS_CONFIG

ME = os.getpid()


def few(methods, pids=None):
    """The sweep. Its workers leave their numbers in the folder `pids`."""

    def load(train):
        if pids and os.getpid() != ME:
            Path(pids, str(os.getpid())).touch()
        whole = data.load("digits", train)
        return data.image_data_from_arrays("few", whole.images[:96].numpy(), whole.labels[:96].numpy())

    def build(seed):
        return models.build("lenet5", seed)

    config = replace(DIGITS_CONFIG, recipe=replace(DIGITS_CONFIG.recipe, batch_size=8), epochs=2)
    return Sweep("mine", "few", tuple(methods), grid(7), (0, 1), config=config, build=build, load=load)


def killer(pids):
    """Progress that kills a worker at the first row."""

    def progress(what, done, total):
        if what == "jobs" and done == 1:
            alive = [path.name for path in pids.iterdir() if Path("/proc", path.name).exists()]
            os.kill(int(alive[0]), signal.SIGKILL)
            Path(pids, "killed").touch()

    return progress


if __name__ == "__main__":
    out, backend, jobs, methods = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    pids = out.parent / "pids"
    pids.mkdir(parents=True, exist_ok=True)
    kill = killer(pids) if sys.argv[5:] == ["kill"] else None
    runner.run([few(methods, pids)], out, jobs, "cpu", backend, kill or no_progress)
