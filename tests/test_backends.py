"""Work spread over processes: what a program that runs as a module gives them, they can import."""

import subprocess
import sys

PROGRAM = """
from functools import cache
from wmgp.experiments.sweep.backends import run_tasks, use_backend

@cache
def held(x):
    return 10 * x

def work(x):
    return held(x) + 1

if __name__ == "__main__":
    with use_backend("loky", 2):
        print(sorted(run_tasks(work, [(1,), (2,), (3,)])))
"""


def test_a_module_that_runs_as_the_program(tmp_path):
    """joblib would send its functions whole, and those that keep something cannot be."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[11, 21, 31]\n", done.stderr
