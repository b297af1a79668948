"""Run the tests of the page's scripts in node, with reference values from the package."""

import json
import os
import random
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import wmgp
from wmgp import closed_forms
from wmgp.errors import printable

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = [
    ("normal", None, closed_forms.normal()),
    ("laplace", None, closed_forms.laplace()),
    ("uniform", None, closed_forms.uniform()),
    *(("generalised", shape, closed_forms.generalised_normal(shape)) for shape in (0.4, 0.7, 1, 2, 3.3, 10)),
    *(("student", df, closed_forms.student_t(df)) for df in (2.1, 3, 4, 5, 12.5, 30)),
]
POOLS = ("weight_bias", "weights", "all")


def distribution_values(family: str, tail: float | None, distribution: closed_forms.Distribution) -> dict[str, Any]:
    amount = np.arange(100) / 100
    return {
        "family": family, "tail": tail, "amount": amount.tolist(), "cosine": distribution.cosine(amount).tolist(),
        "kurtosis": distribution.kurtosis if np.isfinite(distribution.kurtosis) else None,
        "optimal": asdict(distribution.optimal), "at99": distribution.amount_at(0.99),
    }  # fmt: skip


def formatted_numbers() -> list[Any]:
    draw = random.Random(0)
    values = [draw.choice([-1, 1]) * 10 ** draw.uniform(-12, 12) for _ in range(200)]
    known = [0.0, 1.0, 0.5, 2.5, 3.125, 0.125, 0.375, 1e-4, 9.9999e-5, 9999.5, 99995.0, 123456.0, 1e22, 0.99995, 5e-324]
    return [[x, d, f"{x:.{d}f}", f"{x:.{max(d, 1)}g}"] for x in values + known for d in (0, 2, 4)]


def state_dicts() -> dict[str, dict[str, torch.Tensor]]:
    """Return a transformer, with parameters outside the paper's pool, in every dtype and in mixed dtypes."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, 4, 160)
    state = torch.nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).state_dict()
    draws = {"emb.weight": torch.distributions.StudentT(4.0).sample((2000, 50)) / 50, "emb.bias": torch.zeros(5)}
    halves = {name: (values * 1e-3).half() for name, values in draws.items()}  # some are subnormal
    mixed = {name: (x.bfloat16() if i % 2 else x.half() if i % 3 else x) for i, (name, x) in enumerate(state.items())}
    zeros = {name: x * (x.abs() > x.abs().mean()) for name, x in state.items()}
    double = {name: x.double() if "norm" in name else x for name, x in state.items()}
    buffers = {"count": torch.arange(3), "bn.running_mean": torch.ones(4)}
    return {
        "float32": state | draws, "small": state, "bfloat16": {k: v.bfloat16() for k, v in (state | draws).items()},
        "float16": halves, "mixed": mixed | draws | buffers, "float64": double, "zeros": zeros,
    }  # fmt: skip


def with_buffers() -> dict[str, torch.Tensor]:
    """Return a transformer with buffers of every kind, which a file lists among the parameters."""
    state, steps = state_dicts()["small"], torch.arange(40.0)
    angles = steps[:, None] * torch.logspace(0, -3, 16)
    lower = torch.ones(12, 12).tril()
    averages = {f"model_ema.{name.replace('.', '')}": x * 0.99 for name, x in list(state.items())[:4]}
    return {
        **state, **averages, "encoder.causal": lower, "encoder.future": torch.full((12, 12), -torch.inf).triu(1),
        "heads.weight": lower.clone(), "positions": torch.cat([angles.sin(), angles.cos()], 1),
        "decay": torch.randn(12, 12).abs().tril(), "ramp": steps * 0.5,
        "rows": torch.randn(20, 1).expand(20, 6).clone(),
        "diagonals": (steps[:12, None] - steps[:12]).abs().sqrt() + 1, "wave": (0.3 * steps).sin(),
        "criterion.weight": torch.rand(10), "stft.window": torch.rand(400), "table": torch.randn(30, 5) * 9,
        "broken": torch.tensor([1.0, torch.nan]), "normalize.mean": torch.rand(1, 3, 1, 1), "few": torch.eye(20) * 2.5,
    }  # fmt: skip


def reports(folder: Path) -> list[dict[str, Any]]:
    results = []
    for name, tensors in (state_dicts() | {"buffers": with_buffers()}).items():
        path = folder / f"{name}.safetensors"
        save_file(tensors, path)
        for pool in POOLS if name != "buffers" else POOLS[:2]:  # "broken" cannot be pruned
            analysis = wmgp.analyze(path, pool=pool)
            results.append({"file": str(path), "pool": pool, "report": analysis.to_dict()})
    return results


def test_scripts_pass_their_node_tests(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, version 20 or later, for the tests in tests/js")
    names = ["plain", "two\nlines", "a\ttab\x1b[0m", "no\u00a0break\u2028", "é ☃ 𝒳", "\ue000\U000f0000"]
    oracle = {
        "distributions": [distribution_values(*each) for each in DISTRIBUTIONS],
        "numbers": formatted_numbers(),
        "names": [[name, printable(name)] for name in names],
        "reports": reports(tmp_path),
    }
    (tmp_path / "oracle.json").write_text(json.dumps(oracle))
    files = sorted(map(str, (ROOT / "tests" / "js").glob("*.test.js")))
    done = subprocess.run(
        [node, "--no-warnings", "--test", *files],
        cwd=ROOT,
        env=os.environ | {"WMGP_ORACLE": str(tmp_path / "oracle.json")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) > 50
    assert "# skipped 0" in done.stdout


def test_lines_have_at_most_120_characters():
    files = [*(ROOT / "book" / "_static" / "analyze").glob("*.js"), *(ROOT / "tests" / "js").glob("*.js")]
    long = [
        f"{path.name}:{i}"
        for path in files
        for i, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120
    ]
    assert len(files) > 20 and long == []
