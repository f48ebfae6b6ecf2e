"""Every example runs from beginning to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example(script, tmp_path):
    result = subprocess.run(
        [sys.executable, str(script), "--save", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    if result.stderr.startswith("Skipped:"):
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout
    if script.stem == "plot_quickstart":
        assert (tmp_path / "training_curve.png").stat().st_size > 10_000
