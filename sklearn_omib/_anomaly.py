"""OMIBAnomalyDetector."""

import warnings
from itertools import chain
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from sklearn.base import OutlierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.utils import column_or_1d

from ._base import BaseOMIB
from ._compat import Interval, StrOptions, _check_sample_weight
from ._training import PREDICT_BATCH
from .nn import OneClassNetwork, OneClassObjective, OneClassTask

DISTANCE, ERRORS = 3, 4  # what OneClassNetwork.predict returns, after the others
NORMAL, ANOMALOUS = 1, -1
TINY = np.finfo(np.float32).tiny
FENCE = 1.5  # interquartile ranges below the first quartile (Tukey)


class OMIBAnomalyDetector(OutlierMixin, BaseOMIB):
    """Detector of anomalies in several modalities by a bottleneck, an embedding and a sphere.

    Trained on normal samples. A warm-up trains each modality's encoder and branch to reconstruct
    the modality. Then the centre of the embeddings is fixed, and the network minimises the
    squared distance of the fused embedding from it + ``reconstruction`` * the error of
    reconstructing every modality from that embedding + beta * sum_m w_m KL_m + the branches'
    losses (eq. 104, Alg. 1 and 2). Samples far from the centre, or whose modalities the
    embedding does not tell, are anomalies.

    PAPER-DIFF: the paper has distance only, from a centre that moves with the embeddings, which
    a constant embedding minimises. As in Deep SVDD the centre is fixed and the path to the
    embedding has no biases; as in DASVDD the reconstruction stays in the objective and the score.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        How to cut X into modalities where X is one table: by slice, positions, names, boolean
        mask or callable, as in ColumnTransformer, or by a pair ``(columns, shape)`` for
        modalities of more dimensions. ``ModalityDict(...).layout`` is such a dict. With None, a
        table is a single modality, and OMIB a variational information bottleneck.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Share of the training samples beyond the threshold. "auto" puts it 1.5 interquartile
        ranges below the first quartile of the training scores, or with ``nu`` at the soft
        boundary.
    reconstruction : float, default=3.0
        Weight of the reconstruction error beside the distance, in the main phase and in the
        score. With 0 the decoders are dropped after the warm-up, as in Deep SVDD; the embedding
        then comes close to a constant within a few epochs.
    nu : float in (0, 1) or None, default=None
        Share of samples to leave outside a soft boundary: only these are pulled towards the
        centre. None pulls all.
    eta : float, default=1.0
        Weight of known anomalies (y = -1 in ``fit``), whose distance is pushed up (Deep SAD). With
        0 they are left out.
    embedding_dim : int, default=128
        Width of the embeddings yhat and yhat_m.
    encoders : str, dict of str to encoder, torch.nn.Module or callable, default="mlp"
        The encoder of each modality, as in :class:`OMIBClassifier`. "mlp" goes to plain tables
        whatever their width; blocks of other shapes take "auto".
    hidden_dim : int, default=128
        Width of hidden layers and of the built-in encoders' output z_m.
    latent_dim : int, default=32
        Width k of the codes zeta_m and of the representation xi.
    n_layers : int, default=2
        Linear maps in each MLP encoder; residual blocks or GRU layers in the others.
    dropout : float, default=0.1
        Share of hidden units dropped while training.
    input_dropout : float, default=0.2
        Share of input values dropped while training, in "mlp" and "sparse" encoders.
    head_layers : int, default=2
        Linear maps in each branch and in the prediction head. With 1, interactions between
        modalities are left to the attention alone.
    fusion : {"cross_attention", "concat"}, default="cross_attention"
        How the codes become xi; "concat" is the ablation without attention.
    n_heads : int, default=4
        Attention heads; must divide ``latent_dim``.
    beta : {"auto", "upper", "lower"} or float, default="auto"
        Weight of the regularisation per nat of KL, summed over latent dimensions. "upper" is
        M_u and "lower" M_l of ``beta_bounds_`` (eq. 17); "auto" is M_u.
        0 turns the regularisation off.
    beta_scale : float, default=1.0
        Multiplies ``beta``, whichever it is: the parameter to search over.
    entropy_estimator : {"gaussian", "mine"} or object with ``estimate(x, y)``, default="gaussian"
        What the bound is computed from; see :func:`~sklearn_omib.information.estimate_beta_bounds`.
    weighting : {"reference", "symmetric", "fixed"}, default="reference"
        Dynamic weights of the modalities' KL: the paper's, in which the first modality has
        weight 1; a form that does not depend on the order; or all 1.
    trb_weight : float, default=1.0
        Weight of the branches' losses in the main phase.
    warmup_epochs : int, default=10
        Epochs of the warm-up phase.
    max_epochs : int, default=15
        Largest number of epochs of the main phase. Distances fall for as long as training goes on,
        first where normal samples vary most; much longer is not better.
    batch_size : int, default=128
        Largest number of rows per step; batches differ by at most one row. Processes that share
        a fit take as many each.
    learning_rate : float, default=2e-3
        Of AdamW.
    weight_decay : float, default=1.0
        Of AdamW, decoupled from the gradient.
    early_stopping : bool, default=False
        Hold out a validation part and keep the epoch of its lowest distance. Off by default:
        a smaller distance is not a better detector.
    validation_fraction : float, default=0.15
        Share of the samples held out.
    n_iter_no_change : int, default=15
        Epochs without improvement after which the main phase ends.
    tol : float, default=1e-4
        Improvement, in nats, that counts.
    standardize : bool, default=True
        Bring columns (channels, for sequences and images) to zero mean and unit variance inside;
        sparse blocks are divided by one number. False only converts to float32.
    device : str or torch.device, default="auto"
        "auto" takes cuda, then mps, then cpu.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the matrix products in training. "bfloat16" is faster on hardware made for it, and
        rounds to three digits; weights, losses and predictions stay float32.
    n_threads : int, default=1
        CPU threads torch uses. A fixed number makes results the same wherever a fit runs; more
        than one hardly matters for small networks and pays for large encoders.
    warm_start : bool, default=False
        Go on from the fitted network when fit is called again, with another main phase. Training
        parameters may change in between, the structure of the network may not.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, validation split, shuffling, dropout and noise.
    verbose : int, default=0
        Above 0, show a progress bar per phase.

    Attributes
    ----------
    offset_ : float
        Threshold on :meth:`score_samples`; ``decision_function`` is the score minus it.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch network.
    history_ : DataFrame
        One row per epoch: phase, seconds, and for training and validation every term of the
        objective, with KL (nats), branch loss, divergence and reconstruction error of each
        modality, and its weight.
    beta_ : float
        The beta used, in 1/nat.
    beta_bounds_ : BetaBounds
        ``lower`` (M_l) and ``upper`` (M_u), and the entropies behind them.
    modality_weights_ : dict of str to float
        Final weight of each modality's KL; from the second modality on, the paper's r.
    modalities_ : dict of str to tuple
        Shape of one sample of each modality.
    n_iter_ : int
        Epochs of the main phase.
    n_features_in_ : int
        Columns of all modalities together.
    feature_names_in_ : ndarray of str
        Their names, where all have one; ``"modality__column"`` where X came in blocks.

    See Also
    --------
    OMIBClassifier : Where anomalies of every kind are labelled.
    sklearn_omib.ModalityDict : The container that scikit-learn's searches and splits accept.

    References
    ----------
    Wu, Shao, Wang, Sun, "Learning Optimal Multimodal Information Bottleneck Representations",
    ICML 2025, arXiv 2505.19996. Equations, algorithms and tables are numbered as there.

    Ruff et al., "Deep One-Class Classification", ICML 2018; "Deep Semi-Supervised Anomaly
    Detection", ICLR 2020. Hojjati & Armanfar, "DASVDD: Deep Autoencoding Support Vector Data
    Descriptor for Anomaly Detection", arXiv 2106.05410.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBAnomalyDetector
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(300, 5)), "video": rng.normal(size=(300, 3))}
    >>> detector = OMIBAnomalyDetector(random_state=0).fit(X)
    >>> new = {"audio": rng.normal(size=(2, 5)), "video": [[0, 0, 0], [6, 6, -6]]}
    >>> detector.predict(new)
    array([ 1, -1])
    >>> detector.score_samples_by_modality(new).loc[1].idxmin()
    'video'
    """

    _auto_fraction = 1.0
    _network = OneClassNetwork
    _objective = OneClassObjective
    _structure_names = (*BaseOMIB._structure_names, "embedding_dim")
    _parameter_constraints: dict = {
        **BaseOMIB._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "reconstruction": [Interval(Real, 0, None, closed="left")],
        "nu": [Interval(Real, 0, 1, closed="neither"), None],
        "eta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        modalities=None,
        *,
        contamination="auto",
        reconstruction=3.0,
        nu=None,
        eta=1.0,
        embedding_dim=128,
        encoders="mlp",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.1,
        input_dropout=0.2,
        head_layers=2,
        fusion="cross_attention",
        n_heads=4,
        beta="auto",
        beta_scale=1.0,
        entropy_estimator="gaussian",
        weighting="reference",
        trb_weight=1.0,
        warmup_epochs=10,
        max_epochs=15,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=1.0,
        early_stopping=False,
        validation_fraction=0.15,
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        device="auto",
        precision="float32",
        n_threads=1,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            modalities,
            encoders=encoders,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            n_layers=n_layers,
            dropout=dropout,
            input_dropout=input_dropout,
            head_layers=head_layers,
            fusion=fusion,
            n_heads=n_heads,
            beta=beta,
            beta_scale=beta_scale,
            entropy_estimator=entropy_estimator,
            weighting=weighting,
            trb_weight=trb_weight,
            warmup_epochs=warmup_epochs,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            standardize=standardize,
            device=device,
            precision=precision,
            n_threads=n_threads,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination
        self.reconstruction = reconstruction
        self.nu = nu
        self.eta = eta
        self.embedding_dim = embedding_dim

    def fit(self, X, y=None, sample_weight=None, groups=None):
        """Fit the detector on normal samples, or on samples that are mostly normal.

        Parameters
        ----------
        X : dict of str to array, ModalityDict, list of arrays, array-like or DataFrame
            The modalities, each of shape (n_samples, ...); or one table, cut by ``modalities``.
        y : array-like of shape (n_samples,), default=None
            -1 marks known anomalies, which are pushed away with weight ``eta`` or, with
            ``eta=0``, left out. Any other number counts as normal or unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in every loss; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group are never split between training and validation.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a modality is empty, not numeric, not finite or of another length than the others,
            if y is not numeric or marks all samples as anomalies, or if training diverges.
        """
        return super().fit(X, y, sample_weight, groups)

    def _check_input(self, X, y, sample_weight, groups, reset):
        if y is not None and self.eta == 0:
            normal = self._encode_target(y, reset) > 0
            sample_weight = _check_sample_weight(sample_weight, normal) * normal
        return super()._check_input(X, y, sample_weight, groups, reset)

    def _encode_target(self, y, reset):
        anomalous = _anomalous(y)
        if anomalous.all():
            raise ValueError("y marks every sample as an anomaly (-1); there is nothing normal.")
        return np.where(anomalous, ANOMALOUS, NORMAL).astype(np.float32)

    def _make_task(self):
        return OneClassTask(self.reconstruction, self.nu, self.eta), self.embedding_dim

    def _rate_constant(self, target, weight):
        """No constant to compare with: the best one is the centre itself."""

    def _update_settings(self):
        super()._update_settings()
        self.net_.criterion_.task, _ = self._make_task()

    def _after_warm_up(self, data):
        """Set the centre, unless an earlier fit has set it."""
        module = self.net_.module_
        if module.centre.isfinite().all():
            return
        module.eval()
        with torch.inference_mode():
            parts = [
                (module.embed(inputs), weight * (y > 0))
                for inputs, y, weight in data[0].batches(PREDICT_BATCH)
            ]
            module.set_centre(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))

    def _after_training(self, data):
        """Units of the scores, and the threshold: from all rows of fit but known anomalies."""
        parts = [part for part in data if part is not None]
        normal = np.concatenate([torch.as_tensor(part.y).cpu().numpy() > 0 for part in parts])
        outputs = chain.from_iterable(map(self.net_.predict_batches, parts))
        distance, errors = (
            torch.cat(pieces).cpu().numpy()[normal]
            for pieces in zip(*(output[DISTANCE:] for output in outputs), strict=True)
        )
        self._distance_unit, self._error_unit = _means(distance), _means(errors)
        by_modality = self._by_modality(distance, errors)
        self._location, self._spread = by_modality.mean(0), np.maximum(by_modality.std(0), TINY)
        self.offset_ = self._threshold(self._fused(distance, errors))

    def _threshold(self, scores):
        if self.contamination != "auto":
            return float(np.percentile(scores, 100 * self.contamination))
        if self.nu is not None:
            return float(np.percentile(scores, 100 * self.nu))
        first, third = np.percentile(scores, [25, 75])
        return float(first - FENCE * (third - first))

    # -- scores ---------------------------------------------------------------------------
    def _fused(self, distance, errors):
        error = errors[:, 0].sum(1) / self._error_unit[0].sum()
        return self._combine(distance[:, -1] / self._distance_unit[-1], error)

    def _by_modality(self, distance, errors):
        distance = distance[:, :-1] / self._distance_unit[:-1]
        return self._combine(distance, errors[:, 1] / self._error_unit[1])

    def _combine(self, distance, error):
        return -(distance + self.reconstruction * error) / (1 + self.reconstruction)

    def score_samples(self, X):
        """How normal each sample is: the higher, the more so.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
            Minus the mean of two parts, each 1 on average over the training samples: squared
            distance of the fused embedding from the centre and, weighted by ``reconstruction``,
            error of the modalities' reconstruction from it.
        """
        return self._fused(*self._forward(X, DISTANCE, ERRORS)).astype(np.float64)

    def score_samples_by_modality(self, X):
        """How normal each sample is by each modality's branch.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        DataFrame of shape (n_samples, n_modalities)
            As :meth:`score_samples`, from the branch of each modality, in standard deviations
            from the mean over the training samples. The lowest of a row is the modality that
            makes the sample most unusual. Branches see the fused representation too, so an
            anomaly of one modality shows, less, in the others.
        """
        scores = self._by_modality(*self._forward(X, DISTANCE, ERRORS))
        return pd.DataFrame((scores - self._location) / self._spread, columns=[*self.modalities_])

    def decision_function(self, X):
        """Score minus ``offset_``: negative for anomalies.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell anomalies (-1) from normal samples (+1).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.where(self.decision_function(X) < 0, ANOMALOUS, NORMAL)

    def score(self, X, y):
        """Area under the ROC curve of :meth:`score_samples`.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,)
            -1 for anomalies, another number for normal samples, as in ``fit``.

        Returns
        -------
        float
            NaN, with a warning, where y marks no sample as an anomaly, or all.

        Raises
        ------
        ValueError
            If y is not numeric.
        """
        anomalous, scores = _anomalous(y), self.score_samples(X)
        if anomalous.all() or not anomalous.any():
            warnings.warn(
                f"The score is not defined: y marks {anomalous.sum()} of {len(y)} samples as "
                "anomalies, by -1.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return np.nan
        return float(roc_auc_score(~anomalous, scores))


def _anomalous(y):
    """Which samples are marked -1."""
    y = column_or_1d(y)
    if y.dtype.kind not in "fiu":
        raise ValueError(
            f"Unknown label type: y has dtype {y.dtype}, but must hold numbers, -1 for anomalies "
            "and 1 for other samples."
        )
    return y == ANOMALOUS


def _means(values):
    """Means over samples, at least tiny: a modality may be constant."""
    return np.maximum(values.mean(0), TINY)
