"""Epochs of several networks: a list of what each had, and the same packed into few arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import numpy as np


def terms_of(row: Mapping[str, Any]) -> list[str]:
    """Names of what an epoch of the history has of each network."""
    return [k for k, v in row.items() if isinstance(v, list) and k not in ("networks", "batches")]


def _kind(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["phase"], row["networks"], terms_of(row), "dur" in row


def packed(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a history, those of the same networks and terms together.

    Returns
    -------
    list of dict
        "values" is an array of shape (n_rows, n_terms, n_networks).
    """
    runs = []
    for (phase, networks, names, timed), group in groupby(rows, _kind):
        own = list(group)
        runs.append({
            "phase": phase,
            "networks": networks,
            "names": names,
            "values": np.array([[row[name] for name in names] for row in own]),
            "epochs": np.array([row["epoch"] for row in own]),
            "seconds": np.array([row["dur"] for row in own]) if timed else None,
        })  # fmt: skip
    return runs


def unpacked(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The inverse of :func:`packed`."""
    rows = []
    for run in runs:
        for i, epoch in enumerate(run["epochs"].tolist()):
            row = {"batches": [], "epoch": epoch, "phase": run["phase"]}
            row["networks"] = list(run["networks"])
            row |= dict(zip(run["names"], run["values"][i].tolist(), strict=True))
            if run["seconds"] is not None:
                row["dur"] = run["seconds"][i].item()
            rows.append(row)
    return rows
