"""Peak memory of an analysis beyond its data, measured in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

SETUP_CODE = """
import re, numpy as np, torch, wmgp
wmgp.analyze({"layer.weight": torch.randn(1000)})  # what is compiled and imported at the first call is there before
def held(what): return int(re.search(what + r":\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
"""
MEASURE_CODE = """
before = held("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the most so far is now what there is
wmgp.analyze(data)
print(held("VmHWM") - before)
"""


def peak_memory(data: int | Path) -> float:
    """Return the peak memory in MiB during the analysis minus the process's memory with its data before it.

    `data` is the number of float32 values of a tensor, or the path of a checkpoint, which is not read before. Pages of
    a mapped file count while they are resident. nan if the system is not Linux.
    """
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return float("nan")
    drawn = f"torch.from_numpy(np.random.default_rng(0).standard_normal({data}, dtype=np.float32))"
    made = f"data = {str(data)!r}" if isinstance(data, Path) else f'data = {{"layer.weight": {drawn}}}'
    done = subprocess.run(
        [sys.executable, "-c", SETUP_CODE + made + MEASURE_CODE], capture_output=True, text=True, check=True
    )
    return float(done.stdout)
