"""Pictures. matplotlib is imported when something is plotted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ._typing import Array, Modalities
from .information import BetaBounds
from .inspection import bottleneck_probe, information_plane, modality_ablation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BetaScoreDisplay",
    "BottleneckProbeDisplay",
    "InformationCurveDisplay",
    "InformationPlaneDisplay",
    "ModalityAblationDisplay",
    "TrainingCurveDisplay",
]


def _subplots(n_columns: int, **options: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plotting needs matplotlib: pip install 'sklearn-omib[plot]'.") from error
    return plt.subplots(1, n_columns, layout="constrained", **options)[1]


def _as_it_is(name: str) -> str:
    """A name for matplotlib, to which a dollar means a formula and a first _ means no entry."""
    return f"{' ' * name.startswith('_')}{name}".replace("$", r"\$")


class BetaScoreDisplay:
    """Cross-validated score over beta, with the bound.

    Parameters
    ----------
    betas : array-like of shape (n_betas,)
        In 1/nat.
    scores : array-like of shape (n_betas, n_folds)
    bounds : BetaBounds
    best_beta : float

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifierCV
    >>> from sklearn_omib.plotting import BetaScoreDisplay
    >>> X = {"a": np.random.default_rng(0).normal(size=(40, 2)), "b": np.arange(80.).reshape(40, 2)}
    >>> clf = OMIBClassifierCV(betas=2, cv=2, max_epochs=2).fit(X, np.arange(40) % 2)
    >>> display = BetaScoreDisplay.from_estimator(clf)  # doctest: +SKIP
    """

    def __init__(
        self, betas: ArrayLike, scores: ArrayLike, bounds: BetaBounds, best_beta: float
    ) -> None:
        self.betas, self.scores = np.asarray(betas), np.asarray(scores)
        self.bounds, self.best_beta = bounds, best_beta

    @classmethod
    def from_estimator(cls, estimator: BaseEstimator, ax: Axes | None = None) -> BetaScoreDisplay:
        """Plot the scores of a fitted search.

        Parameters
        ----------
        estimator : OMIBClassifierCV or OMIBRegressorCV
        ax : matplotlib Axes, default=None

        Returns
        -------
        BetaScoreDisplay
        """
        check_is_fitted(estimator, "scores_")
        parts = estimator.betas_, estimator.scores_, estimator.beta_bounds_, estimator.beta_
        return cls(*parts).plot(ax)

    def plot(self, ax: Axes | None = None) -> BetaScoreDisplay:
        """Draw every fold, the mean with its standard error, M_l, M_u and the beta chosen.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : BetaScoreDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = _subplots(1, figsize=(6, 3.6)) if ax is None else ax
        order = np.argsort(self.betas)
        betas, scores = self.betas[order], self.scores[order]
        mean, error = scores.mean(1), scores.std(1) / np.sqrt(scores.shape[1])
        ax.plot(betas, scores, color="0.8", linewidth=0.8, zorder=1)
        ax.fill_between(betas, mean - error, mean + error, alpha=0.25, linewidth=0)
        ax.plot(betas, mean, "o-", label="mean over folds")
        chosen = np.flatnonzero(betas == self.best_beta)
        ax.plot(betas[chosen], mean[chosen], "k*", markersize=11, label=f"{self.best_beta:.2g}")
        for bound, name in ((self.bounds.lower, "$M_l$"), (self.bounds.upper, "$M_u$")):
            ax.axvline(bound, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
            ax.annotate(name, (bound, 1.01), xycoords=("data", "axes fraction"), ha="center")
        if (betas > 0).all():
            ax.set_xscale("log")
        ax.set(xlabel=r"$\beta$ (1/nat)", ylabel="score")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class InformationCurveDisplay:
    """What a search found on the way over beta: task loss over the information kept.

    Parameters
    ----------
    path : DataFrame
        With columns beta, fold, kl and task_loss, as ``path_`` of a search.
    best_beta : float

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifierCV
    >>> from sklearn_omib.plotting import InformationCurveDisplay
    >>> X = {"a": np.random.default_rng(0).normal(size=(40, 2)), "b": np.arange(80.).reshape(40, 2)}
    >>> clf = OMIBClassifierCV(betas=2, cv=2, max_epochs=2, method="path").fit(X, np.arange(40) % 2)
    >>> display = InformationCurveDisplay.from_estimator(clf)  # doctest: +SKIP
    """

    def __init__(self, path: pd.DataFrame, best_beta: float) -> None:
        self.path, self.best_beta = path, best_beta

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, ax: Axes | None = None
    ) -> InformationCurveDisplay:
        """Plot the curve of a fitted search.

        Parameters
        ----------
        estimator : OMIBClassifierCV or OMIBRegressorCV
        ax : matplotlib Axes, default=None

        Returns
        -------
        InformationCurveDisplay
        """
        check_is_fitted(estimator, "path_")
        return cls(estimator.path_, estimator.beta_).plot(ax)

    def plot(self, ax: Axes | None = None) -> InformationCurveDisplay:
        """Draw every fold, the mean over folds with its betas, and the beta chosen.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : InformationCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = _subplots(1, figsize=(6, 3.6)) if ax is None else ax
        for _, fold in self.path.sort_values("beta").groupby("fold"):
            ax.plot(fold.kl, fold.task_loss, color="0.8", linewidth=0.8, zorder=1)
        mean = self.path.groupby("beta")[["kl", "task_loss"]].mean()
        ax.plot(mean.kl, mean.task_loss, "o-", label="mean over folds")
        for beta, (kl, loss) in mean.iterrows():
            ax.annotate(f"{beta:.2g}", (kl, loss), (3, 5), textcoords="offset points", fontsize=7)
        chosen = mean.loc[self.best_beta]
        ax.plot(chosen.kl, chosen.task_loss, "k*", markersize=11, label=f"{self.best_beta:.2g}")
        ax.set(xlabel="KL of the codes (nats)", ylabel="task loss (nats)", xscale="log")
        ax.legend(title="beta (1/nat)", fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class TrainingCurveDisplay:
    """Losses, compression and modality weights over the epochs of a fit.

    Parameters
    ----------
    history : DataFrame
        ``history_`` of a fitted estimator.
    modalities : list of str
        Their names, in order.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of 3 matplotlib Axes
        Task loss; KL of each modality; weight of each modality.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.plotting import TrainingCurveDisplay
    >>> X = {"a": np.random.default_rng(0).normal(size=(40, 2)), "b": np.arange(80.).reshape(40, 2)}
    >>> clf = OMIBClassifier(max_epochs=2, random_state=0).fit(X, np.arange(40) % 2)
    >>> display = TrainingCurveDisplay.from_estimator(clf)  # doctest: +SKIP
    """

    def __init__(self, history: pd.DataFrame, modalities: Iterable[str]) -> None:
        self.history = history
        self.modalities = list(modalities)

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, axes: Sequence[Axes] | Array | None = None
    ) -> TrainingCurveDisplay:
        """Plot the training of a fitted estimator.

        Parameters
        ----------
        estimator : OMIBClassifier or OMIBRegressor
        axes : array of 3 matplotlib Axes, default=None

        Returns
        -------
        TrainingCurveDisplay
        """
        check_is_fitted(estimator, "history_")
        return cls(estimator.history_, estimator.modalities_).plot(axes)

    def plot(self, axes: Sequence[Axes] | Array | None = None) -> TrainingCurveDisplay:
        """Draw the three panels.

        Parameters
        ----------
        axes : array of 3 matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : TrainingCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        axes = _subplots(3, figsize=(12, 3.4)) if axes is None else axes
        main = self.history[self.history.phase == "main"]
        self._plot_losses(axes[0], main)
        self._plot_modalities(axes[1], main, "train_kl_{}", "KL from the prior (nats)")
        self._plot_modalities(axes[2], main, "weight_{}", "weight of the KL")
        axes[2].axhline(1, color="0.7", linewidth=0.8, zorder=0)
        for ax in axes:
            ax.set_xlabel("epoch")
            ax.spines[["top", "right"]].set_visible(False)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _plot_losses(self, ax: Axes, main: pd.DataFrame) -> None:
        warm = self.history[self.history.phase == "warm-up"]
        if len(warm):
            ax.axvspan(warm.epoch.min() - 0.5, warm.epoch.max() + 0.5, color="0.93", zorder=0)
            mean_branch = warm[[f"train_branch_loss_{name}" for name in self.modalities]].mean(1)
            ax.plot(warm.epoch, mean_branch, color="0.5", label="warm-up, mean branch")
        ax.plot(main.epoch, main.train_task_loss, label="training")
        if "valid_task_loss" in main:
            ax.plot(main.epoch, main.valid_task_loss, label="validation")
            best = main.loc[main.valid_task_loss.idxmin()]
            ax.plot(best.epoch, best.valid_task_loss, "k.", label=f"kept: epoch {best.epoch}")
        ax.set_ylabel("task loss (nats)")
        ax.legend(frameon=False, fontsize="small")

    def _plot_modalities(self, ax: Axes, main: pd.DataFrame, column: str, label: str) -> None:
        for name in self.modalities:
            ax.plot(main.epoch, main[column.format(name)], label=_as_it_is(name))
        ax.set_ylabel(label)
        ax.legend(frameon=False, fontsize="small")


def _one_row_each(ax: Axes, names: Sequence[str], label: str) -> None:
    """Horizontal rows from top to bottom, named on the left."""
    ax.set(
        yticks=range(len(names)), yticklabels=map(_as_it_is, names), ylim=(len(names) - 0.5, -0.5)
    )
    ax.set_xlabel(label)
    ax.locator_params(axis="x", nbins=6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)


class ModalityAblationDisplay:
    """Score of every subset of modalities, with its difference from all of them.

    Parameters
    ----------
    table : DataFrame
        As :func:`~sklearn_omib.inspection.modality_ablation` returns.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of 2 matplotlib Axes
        Scores; differences with their interval.

    Examples
    --------
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.datasets import load_breast_cancer_blocks
    >>> from sklearn_omib.plotting import ModalityAblationDisplay
    >>> cancer = load_breast_cancer_blocks()
    >>> display = ModalityAblationDisplay.from_estimator(
    ...     OMIBClassifier(), cancer.X, cancer.y
    ... )  # doctest: +SKIP
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Modalities,
        y: ArrayLike,
        *,
        axes: Sequence[Axes] | Array | None = None,
        **options: Any,
    ) -> ModalityAblationDisplay:
        """Compute and plot.

        Parameters
        ----------
        estimator, X, y, **options : as in modality_ablation
        axes : array of 2 matplotlib Axes, default=None

        Returns
        -------
        ModalityAblationDisplay
        """
        return cls(modality_ablation(estimator, X, y, **options)).plot(axes)

    def plot(self, axes: Sequence[Axes] | Array | None = None) -> ModalityAblationDisplay:
        """Draw every fold, the mean, and the differences.

        Parameters
        ----------
        axes : array of 2 matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : ModalityAblationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        table, rows = self.table, np.arange(len(self.table))
        if axes is None:
            axes = _subplots(2, figsize=(9, 1.2 + 0.32 * len(table)), sharey=True)
        folds = table.filter(regex=r"^split\d+_score$")
        for fold in folds:
            axes[0].plot(table[fold], rows, ".", color="0.75", zorder=1)
        axes[0].errorbar(table["mean"], rows, xerr=table.standard_error, fmt="o", capsize=2)
        _one_row_each(axes[0], table.index, "score: folds, mean, standard error")
        half = [table.difference - table.lower, table.upper - table.difference]
        axes[1].errorbar(table.difference, rows, xerr=half, fmt="o", color="C1", capsize=2)
        axes[1].axvline(0, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
        _one_row_each(axes[1], table.index, "difference from all modalities")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


class BottleneckProbeDisplay:
    """What can be decoded from xi, beside what can be decoded from the inputs.

    Parameters
    ----------
    table : DataFrame
        As :func:`~sklearn_omib.inspection.bottleneck_probe` returns.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_omib.plotting import BottleneckProbeDisplay
    >>> row = {"metric": "R2", "noisy_xi": 0.9, "noisy_xi_sd": 0.02, "chance": 0.0}
    >>> display = BottleneckProbeDisplay(pd.DataFrame({"age": row}).T).plot()  # doctest: +SKIP
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Modalities,
        variables: Mapping[str, ArrayLike],
        *,
        ax: Axes | None = None,
        **options: Any,
    ) -> BottleneckProbeDisplay:
        """Compute and plot.

        Parameters
        ----------
        estimator, X, variables, **options : as in bottleneck_probe
        ax : matplotlib Axes, default=None

        Returns
        -------
        BottleneckProbeDisplay
        """
        return cls(bottleneck_probe(estimator, X, variables, **options)).plot(ax)

    def plot(self, ax: Axes | None = None) -> BottleneckProbeDisplay:
        """Draw a row per variable, with the standard deviation over folds and chance.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : BottleneckProbeDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        table, rows = self.table, np.arange(len(self.table))
        ax = _subplots(1, figsize=(6.5, 1.2 + 0.4 * len(table))) if ax is None else ax
        sources = {"noisy_xi": "xi with noise", "xi": "xi of the means", "inputs": "inputs"}
        for shift, (source, label) in zip((-0.15, 0, 0.15), sources.items(), strict=True):
            if source in table:
                x, error = table[source].astype(float), table[f"{source}_sd"].astype(float)
                ax.errorbar(x, rows + shift, xerr=error, fmt="o", capsize=2, label=label)
        chance = table["chance"].astype(float)
        ax.plot(chance, rows, "|", color="0.4", markersize=14, label="chance")
        names = [f"{name} ({metric})" for name, metric in table["metric"].items()]
        _one_row_each(ax, names, "score of a linear probe")
        ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=4,
                         frameon=False, fontsize="small")  # fmt: skip
        self.ax_, self.figure_ = ax, ax.figure
        return self


class InformationPlaneDisplay:
    """The path of I(xi; v_m) and I(xi; y) over the epochs, one panel per modality.

    Parameters
    ----------
    table : DataFrame
        As :func:`~sklearn_omib.inspection.information_plane` returns.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of n_modalities matplotlib Axes

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_omib.plotting import InformationPlaneDisplay
    >>> table = pd.DataFrame({"I(xi; y)": [0, 1], "I(xi; a)": [0, 2], "kept": [False, True]})
    >>> display = InformationPlaneDisplay(table).plot()  # doctest: +SKIP
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Modalities,
        y: ArrayLike,
        *,
        axes: Sequence[Axes] | Array | None = None,
        **options: Any,
    ) -> InformationPlaneDisplay:
        """Compute and plot.

        Parameters
        ----------
        estimator, X, y, **options : as in information_plane
        axes : array of n_modalities matplotlib Axes, default=None

        Returns
        -------
        InformationPlaneDisplay
        """
        return cls(information_plane(estimator, X, y, **options)).plot(axes)

    def plot(self, axes: Sequence[Axes] | Array | None = None) -> InformationPlaneDisplay:
        """Draw the paths, coloured by epoch, with a star where the fit was kept.

        Parameters
        ----------
        axes : array of n_modalities matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        self : InformationPlaneDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        titles = [column for column in self.table if column.startswith("I(xi; ")][1:]
        if axes is None:
            axes = _subplots(len(titles), figsize=(3.6 * len(titles), 3.4), sharey=True)
        axes = np.atleast_1d(np.asarray(axes))
        kept = self.table[self.table.kept]
        order = np.arange(len(self.table))
        for ax, title in zip(axes, titles, strict=True):
            ax.plot(self.table[title], self.table["I(xi; y)"], color="0.8", zorder=0)
            points = ax.scatter(self.table[title], self.table["I(xi; y)"], c=order)
            ax.plot(kept[title], kept["I(xi; y)"], "k*", markersize=11, label="kept")
            ax.set_xlabel(_as_it_is(f"{title} (nats)"))
            ax.spines[["top", "right"]].set_visible(False)
        axes[0].legend(frameon=False, fontsize="small")
        bar = axes[0].figure.colorbar(points, ax=axes, ticks=order, label="epoch")
        bar.set_ticklabels(self.table.index)
        axes[0].set_ylabel("I(xi; y) (nats)")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self
