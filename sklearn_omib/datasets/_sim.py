"""The paper's synthetic data, with their truth."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_random_state

from .._typing import Array, RandomState
from ..data.container import ModalityDict
from ._score import best_classification

SIM_SPECIFIC = {"I": (500, 100), "II": (100, 500), "III": (300, 300)}  # (d11, d21) of App. F


def make_sim(
    case: str = "I",
    n_samples: int = 10_000,
    *,
    nuisance: int | tuple[int, int] = 100,
    shared: tuple[int, int] = (200, 200),
    random_state: RandomState = None,
) -> Bunch:
    """Generate SIM-I, II or III of the paper (App. F).

    Two modalities of standard normal columns, x1 = [b0, b1, a0, a1] and x2 = [b0, b2, a0, a2].
    The target y = 1 where <delta, [a0, a1, a2]> > 0 for one random direction delta; b0, b1 and b2
    are nuisance. a0 and b0 are the same numbers in both modalities.

    Parameters
    ----------
    case : {"I", "II", "III"}, default="I"
        a1 and a2 have 500 and 100, 100 and 500, or 300 and 300 columns.
    n_samples : int, default=10000
    nuisance : int or pair of int, default=100
        Columns of b1 and b2, which the paper does not state.
    shared : pair of int, default=(200, 200)
        Columns of a0 and of b0.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    Bunch
        ``X``: ModalityDict with "x1" and "x2"; ``y``: (n_samples,) 0 or 1; ``truth``: a Bunch of

        - ``columns``: for each modality the slice of each part, by name;
        - ``parts``: values of "a0", "a1", "a2", "b0", "b1" and "b2";
        - ``nuisance``: all of b0, b1 and b2 side by side;
        - ``decision``: <delta, [a0, a1, a2]> over the norm of delta, of variance 1;
        - ``coef``: delta;
        - ``bayes_accuracy``: the best accuracy from "x1", "x2" and "all";
        - ``entropy``: H(y) in nats, the same whether delta is known or not;
        - ``information``: I(y; v) in nats for v = "x1", "x2" and "all", given delta;
        - ``pairwise_information``: I(x1; x2), which is infinite, as long as a0 or b0 has columns:
          continuous numbers are in both modalities.

    Notes
    -----
    Given delta and the columns of one modality, y is 1 with probability Phi of a Gaussian score,
    so accuracy and information are one-dimensional integrals.

    References
    ----------
    Wu et al., "Learning Optimal Multimodal Information Bottleneck Representations", ICML 2025.

    Examples
    --------
    >>> from sklearn_omib.datasets import make_sim
    >>> sim = make_sim("I", n_samples=500, random_state=0)
    >>> sim.X
    ModalityDict(n_samples=500, x1: (1000,) float32, x2: (600,) float32)
    >>> sim.truth.columns["x1"]["a0"]
    slice(300, 500, None)
    """
    if case not in SIM_SPECIFIC:
        raise ValueError(f"case must be one of {tuple(SIM_SPECIFIC)}, got {case!r}.")
    if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be a positive int, got {n_samples!r}.")
    rng = check_random_state(random_state)
    b1, b2 = (nuisance, nuisance) if isinstance(nuisance, int | np.integer) else nuisance
    a1, a2 = SIM_SPECIFIC[case]
    widths = {"a0": shared[0], "a1": a1, "a2": a2, "b0": shared[1], "b1": b1, "b2": b2}
    coef = rng.normal(size=shared[0] + a1 + a2)
    parts = {
        name: rng.normal(size=(n_samples, width)).astype(np.float32)
        for name, width in widths.items()
    }
    relevant = np.hstack([parts["a0"], parts["a1"], parts["a2"]])
    decision = relevant @ coef / np.linalg.norm(coef)
    blocks, columns = {}, {}
    for m in ("1", "2"):
        names = ["b0", f"b{m}", "a0", f"a{m}"]
        blocks[f"x{m}"] = np.hstack([parts[name] for name in names])
        edges = np.cumsum([0] + [widths[name] for name in names])
        columns[f"x{m}"] = {
            name: slice(int(start), int(stop))
            for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True)
        }
    truth = Bunch(
        columns=columns,
        parts=parts,
        nuisance=np.hstack([parts["b0"], parts["b1"], parts["b2"]]),
        decision=decision,
        coef=coef,
        pairwise_information={("x1", "x2"): np.inf if sum(shared) else 0.0},
        **_best_known(*np.split(coef**2 / np.sum(coef**2), np.cumsum([shared[0], a1]))),
    )
    return Bunch(X=ModalityDict(blocks), y=(decision > 0).astype(int), truth=truth)


def _best_known(_: Array, energy_1: Array, energy_2: Array) -> Bunch:
    """What the modalities tell about y at best, from the parts of delta squared."""
    truth = Bunch(bayes_accuracy={}, entropy=np.log(2), information={})
    for name, unseen in {"x1": energy_2.sum(), "x2": energy_1.sum(), "all": 0.0}.items():
        accuracy, remaining = best_classification(1 - unseen, unseen, np.zeros(1))
        truth.bayes_accuracy[name] = accuracy
        truth.information[name] = truth.entropy - remaining
    return truth
