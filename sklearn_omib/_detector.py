"""OMIBAnomalyDetector, and what all detectors do."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score

from ._compat import Interval, StrOptions
from ._estimator import BaseMultimodal
from ._typing import Array, Modalities, RandomState
from .data.foreign import sample_names
from .methods import OMIB
from .tasks import AnomalyDetection
from .tasks.detection import ANOMALOUS, NORMAL, is_anomalous
from .training.net import DISTANCE, ERRORS, PRESENCE

if TYPE_CHECKING:
    from typing_extensions import Self


class MultimodalAnomalyDetector(OutlierMixin, BaseMultimodal):
    """Scores of anomaly detectors, whatever the method."""

    contamination: float | str
    reconstruction: float
    nu: float | None
    eta: float
    embedding_dim: int
    offset_: float
    _task: AnomalyDetection

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMultimodal._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "reconstruction": [Interval(Real, 0, None, closed="left")],
        "nu": [Interval(Real, 0, 1, closed="neither"), None],
        "eta": [Interval(Real, 0, None, closed="left")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def _make_task(self) -> AnomalyDetection:
        return AnomalyDetection(
            self.contamination, self.reconstruction, self.nu, self.eta, self.embedding_dim
        )

    def fit(
        self,
        X: Modalities,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        resume: bool = False,
    ) -> Self:
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
        resume : bool, default=False
            Whether to go on from the checkpoint in ``checkpoint_dir``, where there is one.

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
        return super().fit(X, y, sample_weight, groups, resume)

    def fit_predict(self, X: Modalities, y: ArrayLike | None = None, **fit_params: Any) -> Array:
        """Fit the detector, and tell anomalies (-1) from normal samples (+1) among its samples.

        Parameters
        ----------
        X : as in fit
        y : as in fit
            Known anomalies, -1, are used as in ``fit``.
        **fit_params : dict
            ``sample_weight`` and ``groups``.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.fit(X, y, **fit_params).predict(X)

    def score_samples(self, X: Modalities) -> Array:
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
        outputs = self._outputs(X, DISTANCE, ERRORS, PRESENCE)
        return self._task.scores(*outputs).astype(np.float64)

    def score_samples_by_modality(self, X: Modalities) -> pd.DataFrame:
        """How normal each sample is by each modality's branch.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        DataFrame of shape (n_samples, n_modalities)
            As :meth:`score_samples`, from the branch of each modality, in standard deviations
            from the mean over the training samples, with the names X has of them. The lowest of a
            row is the modality that makes the sample most unusual. Methods without branches score
            a modality by the error of its reconstruction from the fused embedding. OMIB's branches
            see the fused representation too, so an anomaly of one modality shows, less, in the
            others. NaN of a modality that is missing.
        """
        scores = self._task.by_modality(*self._outputs(X, DISTANCE, ERRORS, PRESENCE))
        standardised = (scores - self._task.location) / self._task.spread
        return pd.DataFrame(standardised, sample_names(X), [*self.modalities_])

    def decision_function(self, X: Modalities) -> Array:
        """Score minus ``offset_``: negative for anomalies.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Modalities) -> Array:
        """Tell anomalies (-1) from normal samples (+1).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.where(self.decision_function(X) < 0, ANOMALOUS, NORMAL)

    def score(self, X: Modalities, y: ArrayLike) -> float:
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
        anomalous, scores = is_anomalous(y), self.score_samples(X)
        if anomalous.all() or not anomalous.any():
            warnings.warn(
                f"The score is not defined: y marks {anomalous.sum()} of {len(anomalous)} samples "
                "as anomalies, by -1.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return np.nan
        return float(roc_auc_score(~anomalous, scores))


class OMIBAnomalyDetector(MultimodalAnomalyDetector):
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
        Share of the training samples, by their weight, beyond the threshold. "auto" puts it 1.5
        interquartile ranges below the first quartile of the training scores, or with ``nu`` at
        the soft boundary.
    reconstruction : float, default=3.0
        Weight of the reconstruction error beside the distance, in the main phase and in the
        score. More of it finds better what is put together in an unusual way, and worse what is
        far out as a whole. With 0 the decoders are dropped after the warm-up, as in Deep SVDD;
        the embedding then comes close to a constant within a few epochs.
    nu : float in (0, 1) or None, default=None
        Share of samples to leave outside a soft boundary: only these are pulled towards the
        centre. None pulls all.
    eta : float, default=1.0
        Weight of known anomalies (y = -1 in ``fit``), whose distance is pushed up (Deep SAD). With
        0 they are left out.
    embedding_dim : int, default=128
        Width of the embeddings yhat and yhat_m.
    n_members : int or "auto", default=1
        Networks trained side by side, whose predictions are averaged; at most 100. They differ in
        initial weights, validation rows, order of rows and noise. ``history_``,
        ``modality_weights_`` and ``transform`` are the first network's, which is the one that
        ``n_members=1`` fits. "auto" is 5 up to 11,000 samples, then 50,000 / n_samples, at least
        1; where encoders train layers that were trained before, 1, and with an AudioEncoder at most
        3; and 1 in a first ``partial_fit``, which cannot know how many samples are to come.
    encoders : str, dict of str to encoder, Encoder, Module or callable, default="mlp"
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
    fusion : {"cross_attention", "unnormed_attention", "concat", "sum", "mean", "gated", "film", \
"low_rank"}, default="unnormed_attention"
        How the codes become xi: by the paper's attention over modalities, with a norm before it
        or none; a linear map of all codes side by side, the ablation; or one of the other fusions
        of :mod:`sklearn_omib.nn`. A norm hides how long a code is, which tells how far a sample
        is from others.
    n_heads : int, default=4
        Attention heads; must divide ``latent_dim``.
    modality_dropout : float or "auto", default=0.0
        Share of the modalities' codes that the fusion does not see while training, where there are
        several: none can be relied on alone. "auto" is 0.1, and 150 / n_samples among more than
        1500 samples to train on (of the first chunk or fit, where training goes on).
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
    warmup_epochs : int or "auto", default="auto"
        Epochs of the warm-up phase. "auto" is 10; where encoders train layers that were trained
        before, 1; with an AudioEncoder, 2.
    max_epochs : int or "auto", default="auto"
        Largest number of epochs of the main phase. "auto" is 60; where encoders train layers that
        were trained before, 2, or more where these are fewer than 60 steps; with an AudioEncoder,
        15,000 / n_samples, at least 10 and at most 50.
    batch_size : int or "auto", default="auto"
        Largest number of rows per step; batches differ by at most one row. Processes that share
        a fit take as many each. "auto" is 128; where encoders train layers that were trained
        before, and with an AudioEncoder, 32.
    learning_rate : float or "auto", default="auto"
        Of AdamW. "auto" is 2e-3; where encoders train layers that were trained before, 1e-3, and
        with an AudioEncoder, 3e-3; these layers and its network have a rate of their own. Rates
        then rise over the first tenth of the steps and fall to 0.
    weight_decay : float, default=1.0
        Of AdamW, decoupled from the gradient.
    early_stopping : bool, default=False
        Hold out a validation part and keep the epoch of its lowest distance. Off by default:
        a smaller distance is not a better detector.
    validation_fraction : float or "auto", default="auto"
        Share of the samples held out. "auto" is 0.15, but 500 of 3333 to 50,000 samples and 0.01
        of more, unless there are groups.
    n_iter_no_change : int, default=15
        Epochs without improvement after which the main phase ends.
    tol : float, default=1e-4
        Improvement, in nats, that counts.
    standardize : bool, default=True
        Bring columns (channels, for sequences and images) to zero mean and unit variance inside;
        wide tables that are mostly 0 are divided by one number. False only converts to float32.
    missing_values : {"mask", "error"}, default="mask"
        What NaN (also None and ``pd.NA``) stands for. "mask": a row of it is a sample without the
        modality, which then tells nothing: its code is the prior, and fusion, branch, KL and
        weight leave it out. After fit, a modality may be None or left out. Single values are
        filled by the mean of the column; built-in encoders of tables are told which, where some
        were missing in fit. "error" raises.
    device : str or torch.device, default="auto"
        "auto" takes cuda, then mps, then cpu.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the matrix products in training. "bfloat16" is faster on hardware made for it, and
        rounds to three digits; weights, losses and predictions stay float32.
    n_threads : int, default=1
        CPU threads torch uses. A fixed number makes results the same wherever a fit runs; more
        than one hardly matters for small networks and pays for large encoders.
    n_jobs : int or None, default=None
        Processes that train the networks of a fit, where there are more than three and the
        encoders are built in: others than this one are forked from it, on Linux and the CPU. None
        is one per core, and one in workers of joblib and dask. Results do not depend on it. Many
        rows are predicted in as many threads.
    warm_start : bool, default=False
        Go on from the fitted network when fit is called again, with another main phase. Training
        parameters may change in between, the network with its dropout may not.
    checkpoint_dir : path or None, default=None
        Folder, of this fit alone, in which a fresh ``fit`` keeps how far it is, so that
        ``fit(..., resume=True)`` goes on after the process was killed. Its files are removed once
        the fit has ended. None keeps nothing.
    checkpoint_every : int, default=10
        Epochs from one checkpoint to the next.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, validation split, shuffling, dropout and noise.
    verbose : int, default=0
        Above 0, show a progress bar per phase.

    Attributes
    ----------
    offset_ : float
        Threshold on :meth:`score_samples`; ``decision_function`` is the score minus it.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module of all networks side by side, whose
        tensors have a first dimension for the network.
    history_ : DataFrame
        One row per epoch: phase, seconds, and for training and validation every term of the
        objective, with KL (nats), branch loss, divergence and reconstruction error of each
        modality, and its weight.
    beta_ : float
        The beta used, in 1/nat.
    beta_bounds_ : BetaBounds
        ``lower`` (M_l) and ``upper`` (M_u), and the entropies behind them.
    modality_dropout_ : float
        The share of codes hidden, where there are several modalities.
    modality_weights_ : dict of str to float
        Final weight of each modality's KL; from the second modality on, the paper's r.
    modalities_ : dict of str to tuple
        Shape of one sample of each modality; () of texts, pictures and other single entries.
    encoders_ : dict of str to Encoder
        Fitted, of the modalities that are no numbers as they come.
    recipe_ : Recipe
        ``warmup_epochs``, ``max_epochs``, ``batch_size`` and ``learning_rate`` as they were used.
    n_members_ : int
        Networks whose scores are averaged.
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalAnomalyDetector._parameter_constraints,
        **OMIB._parameter_constraints,
    }

    def __init__(
        self,
        modalities: dict[str, Any] | None = None,
        *,
        contamination: float | str = "auto",
        reconstruction: float = 3.0,
        nu: float | None = None,
        eta: float = 1.0,
        embedding_dim: int = 128,
        n_members: int | str = 1,
        encoders: Any = "mlp",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.1,
        input_dropout: float = 0.2,
        head_layers: int = 2,
        fusion: str = "unnormed_attention",
        n_heads: int = 4,
        modality_dropout: float | str = 0.0,
        beta: float | str = "auto",
        beta_scale: float = 1.0,
        entropy_estimator: Any = "gaussian",
        weighting: str = "reference",
        trb_weight: float = 1.0,
        warmup_epochs: int | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int = 10,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.contamination = contamination
        self.reconstruction = reconstruction
        self.nu = nu
        self.eta = eta
        self.embedding_dim = embedding_dim
        self.n_members = n_members
        self.encoders = encoders
        self.hidden_dim = hidden_dim
        self.latent_dim = latent_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.head_layers = head_layers
        self.fusion = fusion
        self.n_heads = n_heads
        self.modality_dropout = modality_dropout
        self.beta = beta
        self.beta_scale = beta_scale
        self.entropy_estimator = entropy_estimator
        self.weighting = weighting
        self.trb_weight = trb_weight
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.standardize = standardize
        self.missing_values = missing_values
        self.device = device
        self.precision = precision
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.random_state = random_state
        self.verbose = verbose

    def _make_method(self) -> OMIB:
        return OMIB.of(self)
