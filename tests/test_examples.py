"""Every example runs from beginning to end and shows what it says it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
SHOWN = {  # a number in the output, and a floor well below what the example reaches
    "plot_quickstart": (r"^test accuracy (\S+)", 0.95),
    "plot_missing_modalities": (r"^test accuracy, 60 % lack a view (\S+)", 0.92),
    "plot_pipeline_grid_search": (r"^test accuracy (\S+)", 0.9),
    "plot_custom_encoders": (r"^our own GRU +test accuracy (\S+)", 0.85),
    "plot_inspection": (r"^test accuracy (\S+)", 0.9),
    "plot_tissue_anomaly": (r"^area under the curve, both +(\S+)", 0.75),
    "plot_mosi_sentiment": (r"^text \+ audio \+ video +(\S+)", 0.73),
    "plot_reviews_and_table": (r"^test accuracy (\S+)", 0.7),
    "plot_photographs_and_table": (r"^R2 (\S+)", 0.6),
    "plot_speech_and_writing": (r"^both +(\S+)", 0.65),
    "plot_synthetic_truth": (r"^share of the best possible accuracy: (\S+)", 0.95),
}


SLOW = {"plot_photographs_and_table", "plot_speech_and_writing"}  # and more of the like


@pytest.mark.parametrize("script", [
    pytest.param(script, id=script.stem, marks=[pytest.mark.slow] * (script.stem in SLOW))
    for script in EXAMPLES
])  # fmt: skip
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
    pattern, floor = SHOWN[script.stem]
    assert float(re.search(pattern, result.stdout, re.MULTILINE).group(1)) > floor
    if script.stem == "plot_quickstart":
        assert (tmp_path / "training_curve.png").stat().st_size > 10_000
