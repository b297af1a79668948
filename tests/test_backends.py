"""Worker processes can import the functions of a program that runs as a module."""

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


def test_workers_import_the_functions_of_a_program(tmp_path):
    """joblib would pickle functions of `__main__` by value, which fails for cached functions."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[11, 21, 31]\n", done.stderr
