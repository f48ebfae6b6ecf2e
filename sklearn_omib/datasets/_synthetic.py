"""Classification and regression on synthetic modalities, with all that can be known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr
from sklearn.utils import Bunch, check_random_state

from .._compat import Interval, StrOptions, validate_params
from .._typing import Array, RandomState, SameSignature
from ..data.container import ModalityDict
from ._factors import (
    FactorModel,
    Key,
    draw_coefficients,
    draw_factors,
    draw_features,
    factor_model,
    lose_modalities,
    modality_key,
    modality_name,
    synergy_sign,
)
from ._score import (
    KNOWS_NOTHING,
    Rule,
    best_classification,
    regression_entropy,
    score_cuts,
    sign_rule,
)

KINDS = ("shared", "pairwise", "specific", "shared_nuisance", "specific_nuisance")
_COMMON = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_modalities": [Interval(Integral, 1, None, closed="left")],
    "n_features": [Interval(Integral, 1, None, closed="left"), "array-like"],
    **{f"n_{kind}": [Interval(Integral, 0, None, closed="left")] for kind in KINDS},
    "importance": [dict, None],
    "mixing": [StrOptions({"linear", "nonlinear"})],
    "modality_noise": [Interval(Real, 0, None, closed="left"), "array-like"],
    "missing": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "random_state": ["random_state"],
}
_validate_classification: SameSignature = validate_params(
    {
        **_COMMON,
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "weights": ["array-like", None],
        "flip_y": [Interval(Real, 0, 1, closed="both")],
    },
    prefer_skip_nested_validation=True,
)
_validate_regression: SameSignature = validate_params(
    {
        **_COMMON,
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)


@_validate_classification
def make_multimodal_classification(
    n_samples: int = 1000,
    *,
    n_modalities: int = 2,
    n_features: int | Sequence[int] = 20,
    n_classes: int = 2,
    weights: ArrayLike | None = None,
    n_shared: int = 2,
    n_pairwise: int = 0,
    n_specific: int = 2,
    n_shared_nuisance: int = 2,
    n_specific_nuisance: int = 2,
    importance: Mapping[str, float] | None = None,
    mixing: str = "linear",
    modality_noise: float | Sequence[float] = 0.5,
    flip_y: float = 0.01,
    missing: float | Sequence[float] = 0.0,
    random_state: RandomState = None,
) -> Bunch:
    r"""Generate several modalities and classes of which the best accuracy is known.

    Independent standard normal factors u are carried by all modalities, by pairs or by single
    ones. A weighted sum of the relevant ones is a score of mean 0 and variance 1, and the class
    is the interval between cut points in which the score falls (quantiles, so that classes have the
    probabilities asked for). Modality m is

    .. math:: v_m = g_m(A_m u_m + s_m e_m)

    of the factors u_m it carries, with A_m of orthonormal columns, standard normal noise e_m of
    scale s_m, and g_m the identity or an invertible nonlinear map.

    Parameters
    ----------
    n_samples : int, default=1000
    n_modalities : int, default=2
        They are named "modality_0", "modality_1", ...
    n_features : int or list of int, default=20
        Features of each modality; at least as many as the factors it carries.
    n_classes : int, default=2
    weights : array-like of shape (n_classes,), default=None
        Probabilities of the classes before labels are flipped. None makes them equal.
    n_shared, n_pairwise, n_specific : int, default=2, 0, 2
        Relevant factors carried by all modalities, by each pair of three or more modalities, and
        by each alone.
    n_shared_nuisance, n_specific_nuisance : int, default=2
        Factors that y does not depend on, carried by all modalities, and by each alone.
    importance : dict of str to float, default=None
        How much of the score's variance each part gets, relative to the others. Keys are kinds,
        "shared", "pairwise", "specific" and "synergy", or single parts such as "pairwise_0_2" or
        "specific_1". Left out, parts get 1 and "synergy" 0. With "synergy", the product of the
        signs of one further factor of modality_0 and one of modality_1 is added to the score: an
        exclusive or, of which a modality alone tells nothing.
    mixing : {"linear", "nonlinear"}, default="linear"
        Whether g_m is the identity. The nonlinear map shifts each half of the features by random
        cosines of the other; as it is invertible, all of ``truth`` holds for it too.
    modality_noise : float or list of float, default=0.5
        Standard deviation s_m of the noise on each feature, and so on each factor (variance 1).
    flip_y : float, default=0.01
        Share of samples whose label is drawn anew, from all classes alike.
    missing : float or list of float, default=0.0
        Probability that a sample lacks a modality, independently of all else. Its features are
        NaN then, which the estimators of this package refuse for now. A sample that would lack
        all keeps one of them.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    Bunch
        ``X``: ModalityDict; ``y``: (n_samples,) integers; ``truth``: a Bunch of

        - ``parts``: factors by part, each (n_samples, width); ``modalities``: names of the
          modalities that carry each; ``nuisance``: all irrelevant ones side by side;
        - ``loadings``: by modality and part the columns (n_features, width) of A_m;
        - ``share``: of the score's variance, by part; ``coef``: weights of each part's factors;
        - ``decision``: the score; ``cuts``: the cut points;
        - ``present``: (n_samples, n_modalities), whether a sample has a modality;
        - ``bayes_accuracy``: the best accuracy by modality, by tuple of modalities (up to six
          modalities) and from "all", for complete samples with labels flipped as these are;
        - ``entropy``: H(y); ``information``: I(y; v), and ``latent_information``: I(y; u), with
          the keys of ``bayes_accuracy``;
        - ``pairwise_information``: I(v_i; v_j) by pair of modalities, and ``total_correlation``,
          sum_m h(v_m) - h(v_1, ..); infinite where two modalities show a factor without noise.

    Raises
    ------
    ValueError
        If a parameter is out of its range; the message names it and, where it is about one, the
        modality.

    Notes
    -----
    Entropies and information are in nats. Given modalities that explain r of the score's variance,
    the score is normal of variance 1 - r around a mean of variance r: accuracy and information
    about y are integrals over that mean, within 1e-6. With a synergy they are integrals
    over its sign's probability too, within 1e-5. More than two classes are ordered along the score.

    Examples
    --------
    >>> from sklearn_omib.datasets import make_multimodal_classification
    >>> data = make_multimodal_classification(n_modalities=3, n_pairwise=1, random_state=0)
    >>> data.X.sample_shapes
    {'modality_0': (20,), 'modality_1': (20,), 'modality_2': (20,)}
    >>> data.truth.modalities["pairwise_0_2"]
    ('modality_0', 'modality_2')
    >>> for seen in ("modality_0", ("modality_0", "modality_1"), "all"):
    ...     print(round(data.truth.bayes_accuracy[seen], 3), round(data.truth.information[seen], 3))
    0.734 0.169
    0.816 0.301
    0.872 0.406
    """
    rng = check_random_state(random_state)
    widths = {"shared": n_shared, "pairwise": n_pairwise, "specific": n_specific,
              "shared_nuisance": n_shared_nuisance,
              "specific_nuisance": n_specific_nuisance}  # fmt: skip
    model = factor_model(n_modalities, widths, importance, modality_noise)
    gaussian, jump = 1 - model.synergy, np.sqrt(model.synergy)
    priors = _check_priors(weights, n_classes, pure_synergy=model.synergy == 1)
    data = _draw(model, n_samples, 1, n_features, mixing, missing, rng)
    truth = data.truth
    truth.decision = truth.decision[:, 0]
    truth.coef = {name: of_part[:, 0] for name, of_part in truth.coef.items()}
    truth.cuts = score_cuts(priors, gaussian, jump)
    data.y = np.searchsorted(truth.cuts, truth.decision)
    flipped = np.flatnonzero(rng.uniform(size=n_samples) < flip_y)
    data.y[flipped] = rng.randint(n_classes, size=len(flipped))

    def best(known: dict[str, float]) -> tuple[float, float]:
        share = {name: part.share for name, part in model.parts.items()}
        explained = sum(share[name] * r for name, r in known.items())
        unexplained = sum(share[name] * (1 - r) for name, r in known.items())
        return best_classification(
            explained, unexplained, truth.cuts, flip_y, jump, _signs(model, known)
        )

    truth.entropy = float(entr((1 - flip_y) * priors + flip_y / n_classes).sum())
    of_modalities, of_factors = _for_every_subset(model, best)
    truth.bayes_accuracy = {key: accuracy for key, (accuracy, _) in of_modalities.items()}
    truth.information = {key: truth.entropy - h for key, (_, h) in of_modalities.items()}
    truth.latent_information = {key: truth.entropy - h for key, (_, h) in of_factors.items()}
    return data


@_validate_regression
def make_multimodal_regression(
    n_samples: int = 1000,
    *,
    n_modalities: int = 2,
    n_features: int | Sequence[int] = 20,
    n_targets: int = 1,
    n_shared: int = 2,
    n_pairwise: int = 0,
    n_specific: int = 2,
    n_shared_nuisance: int = 2,
    n_specific_nuisance: int = 2,
    importance: Mapping[str, float] | None = None,
    mixing: str = "linear",
    modality_noise: float | Sequence[float] = 0.5,
    noise: float = 0.3,
    missing: float | Sequence[float] = 0.0,
    random_state: RandomState = None,
) -> Bunch:
    """Generate several modalities and targets of which the best R2 is known.

    Modalities and scores are those of :func:`make_multimodal_classification`. Each target is a
    score of its own, of variance 1, plus noise.

    Parameters
    ----------
    n_samples, n_modalities, n_features : see :func:`make_multimodal_classification`
    n_targets : int, default=1
    n_shared, n_pairwise, n_specific, n_shared_nuisance, n_specific_nuisance : see there
    importance, mixing, modality_noise : see there
    noise : float, default=0.3
        Standard deviation of the noise on each target.
    missing, random_state : see there

    Returns
    -------
    Bunch
        ``X``: ModalityDict; ``y``: (n_samples,), or (n_samples, n_targets) for several targets;
        ``truth``: as there without ``cuts``, and

        - ``decision``: the targets without noise; ``coef``: (width, n_targets) by part;
        - ``best_r2``, in the place of ``bayes_accuracy``: the same for every target;
        - ``entropy``: the differential entropy h(y), and with ``information`` and
          ``latent_information`` of all targets together.

    Raises
    ------
    ValueError
        As there.

    Notes
    -----
    R2 is closed-form, and so is information without a synergy, as all is Gaussian; with it,
    information is an integral, within 1e-5 nats. It is infinite where y has no noise and is
    told in full, and NaN where targets without noise outnumber the factors of the score.

    Examples
    --------
    >>> from sklearn_omib.datasets import make_multimodal_regression
    >>> data = make_multimodal_regression(importance={"specific_1": 4}, random_state=0)
    >>> data.X
    ModalityDict(n_samples=1000, modality_0: (20,) float64, modality_1: (20,) float64)
    >>> {seen: round(r2, 2) for seen, r2 in data.truth.best_r2.items()}
    {'modality_0': 0.24, 'modality_1': 0.61, 'all': 0.75}
    """
    rng = check_random_state(random_state)
    widths = {"shared": n_shared, "pairwise": n_pairwise, "specific": n_specific,
              "shared_nuisance": n_shared_nuisance,
              "specific_nuisance": n_specific_nuisance}  # fmt: skip
    model = factor_model(n_modalities, widths, importance, modality_noise)
    data = _draw(model, n_samples, n_targets, n_features, mixing, missing, rng)
    truth = data.truth
    data.y = truth.decision + noise * rng.normal(size=truth.decision.shape)
    if n_targets == 1:
        data.y, truth.decision = data.y[:, 0], truth.decision[:, 0]

    def best(known: dict[str, float]) -> tuple[float, float]:
        explained = sum(part.share * known[name] for name, part in model.parts.items())
        covariance = noise**2 * np.eye(n_targets)
        for name, coef in truth.coef.items():
            covariance += (1 - known[name]) * coef.T @ coef
        signs = KNOWS_NOTHING
        if model.synergy:
            signs = _signs(model, known)
            # E[E[sign | evidence]^2] of a factor of which evidence explains r is 2 arcsin(r) / pi
            explained += model.synergy * np.prod(
                [2 / np.pi * np.arcsin(known[f"synergy_{m}"]) for m in (0, 1)]
            )
        r2 = float(explained / (1 + noise**2))
        return r2, regression_entropy(covariance, np.sqrt(model.synergy), signs)

    truth.entropy = best(dict.fromkeys(model.parts, 0.0))[1]
    of_modalities, of_factors = _for_every_subset(model, best)
    truth.best_r2 = {key: r2 for key, (r2, _) in of_modalities.items()}
    truth.information = {key: truth.entropy - h for key, (_, h) in of_modalities.items()}
    truth.latent_information = {key: truth.entropy - h for key, (_, h) in of_factors.items()}
    return data


def _check_priors(weights: ArrayLike | None, n_classes: int, pure_synergy: bool) -> Array:
    """Probabilities of the classes."""
    priors = np.full(n_classes, 1 / n_classes) if weights is None else np.asarray(weights, float)
    if priors.shape != (n_classes,) or not (priors > 0).all() or not np.isclose(priors.sum(), 1):
        raise ValueError(
            f"weights must be n_classes={n_classes} positive probabilities that sum to 1, got "
            f"{weights!r}."
        )
    if pure_synergy and not np.allclose(priors, 0.5):
        raise ValueError(
            "Where importance leaves only 'synergy', the score has two values, equally probable: "
            f"n_classes must be 2 and weights None, got {n_classes} and {weights!r}."
        )
    return priors


def _draw(
    model: FactorModel,
    n_samples: int,
    n_targets: int,
    n_features: int | Sequence[int],
    mixing: str,
    missing: float | Sequence[float],
    rng: np.random.RandomState,
) -> Bunch:
    """Modalities, scores of shape (n_samples, n_targets), and the truth that no target is in."""
    coef = draw_coefficients(model, n_targets, rng)
    factors = draw_factors(model, n_samples, rng)
    blocks, loadings = draw_features(model, factors, n_features, mixing, rng)
    present = lose_modalities(blocks, missing, rng)
    decision = np.zeros((n_samples, n_targets))
    for name, of_part in coef.items():
        decision += factors[name] @ of_part
    share = {name: part.share for name, part in model.parts.items() if part.share}
    if model.synergy:
        decision += np.sqrt(model.synergy) * synergy_sign(factors)
        share["synergy"] = model.synergy
    nuisance = [factors[name] for name, part in model.parts.items() if not part.relevant]
    truth = Bunch(
        parts=factors,
        modalities={
            name: tuple(map(modality_name, part.members)) for name, part in model.parts.items()
        },
        nuisance=np.hstack([np.empty((n_samples, 0)), *nuisance]),
        loadings=loadings,
        share=share,
        coef=coef,
        decision=decision,
        present=present,
        pairwise_information={
            modality_key(pair): model.total_correlation(pair)
            for pair in combinations(range(len(blocks)), 2)
        },
        total_correlation=model.total_correlation(),
    )
    return Bunch(X=ModalityDict(blocks), truth=truth)


def _signs(model: FactorModel, known: dict[str, float]) -> Rule:
    """Rule of what is known of the sign of the synergy."""
    return sign_rule(known["synergy_0"], known["synergy_1"]) if model.synergy else KNOWS_NOTHING


def _for_every_subset(
    model: FactorModel, best: Callable[[dict[str, float]], tuple[float, float]]
) -> Iterator[dict[Key, tuple[float, float]]]:
    """best(known) for every subset of modalities, as they are and without their noise."""
    return (
        {key: best(model.known(seen, noise)) for key, seen in model.subsets.items()}
        for noise in (model.noise, np.zeros_like(model.noise))
    )
