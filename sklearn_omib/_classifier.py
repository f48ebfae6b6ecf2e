"""OMIBClassifier, and what all classifiers do."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import type_of_target

from ._compat import StrOptions, _fit_context
from ._estimator import COMBINE, BaseMultimodal
from ._typing import Array, Modalities, RandomState
from .methods import OMIB
from .tasks import Classification
from .training.net import PREDICTION

if TYPE_CHECKING:
    from typing_extensions import Self


class MultimodalClassifier(ClassifierMixin, BaseMultimodal):
    """Predictions of classifiers, whatever the method."""

    class_weight: dict[Any, float] | str | None
    classes_: Array
    _task: Classification

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMultimodal._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def _make_task(self) -> Classification:
        return Classification(self.class_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Modalities,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train one more epoch on a chunk of data.

        The first call sets scale, what the method learns from the data and the networks from its
        chunk, and warms the branches up on it for ``warmup_epochs``. No rows are held out.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All labels that may come; required in the first call, except for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all targets at once; give partial_fit the weights "
                "as a dict, or as sample_weight."
            )
        if not hasattr(self, "net_"):
            if classes is None and not type_of_target(y).startswith("multilabel"):
                raise ValueError("classes must be passed on the first call to partial_fit.")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} differ from those of the first call, {self.classes_!r}."
            )
        return self._partial_fit(X, y, sample_weight, Classification(self.class_weight, classes))

    def predict_proba(self, X: Modalities) -> Array:
        """Probability of each class.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for a multilabel target, the probability of each label on its own.
            The mean over networks, where there are several.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Modalities) -> Array:
        """Logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        (scores,) = self._outputs(X, PREDICTION)
        return self._task.log_probability(scores)

    def predict(self, X: Modalities) -> Array:
        """Predict the class of each sample.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        log_p = self.predict_log_proba(X)
        if self._task.multilabel:
            return (log_p > np.log(0.5)).astype(int)
        return self.classes_[log_p.argmax(1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class OMIBClassifier(MultimodalClassifier):
    """Classifier on several modalities by the optimal multimodal information bottleneck.

    Each modality is encoded, compressed by a variational bottleneck and fused by cross-attention
    into one representation xi, from which the class is predicted. A warm-up trains one branch per
    modality; then the network minimises cross-entropy + beta * sum_m w_m KL_m + the branches'
    losses, with beta inside the bound that keeps what the modalities know of the target and
    drops the rest, and weights w_m that rebalance the modalities (Alg. 1 and 2).

    Targets may be binary, multiclass or multilabel, and labels numbers or strings.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        How to cut X into modalities where X is one table: by slice, positions, names, boolean
        mask or callable, as in ColumnTransformer, or by a pair ``(columns, shape)`` for
        modalities of more dimensions. ``ModalityDict(...).layout`` is such a dict. With None, a
        table is a single modality, and OMIB a variational information bottleneck.
    n_members : int or "auto", default="auto"
        Networks trained side by side, whose predictions are averaged; at most 100. They differ in
        initial weights, validation rows, order of rows and noise. ``history_``,
        ``modality_weights_`` and ``transform`` are the first network's, which is the one that
        ``n_members=1`` fits. "auto" is 5 up to 11,000 samples, then 50,000 / n_samples, at least
        1; where encoders train layers that were trained before, 1, and with an AudioEncoder at most
        3; and 1 in a first ``partial_fit``, which cannot know how many samples are to come.
    encoders : str, dict of str to encoder, Encoder, Module or callable, default="auto"
        The encoder of each modality. "auto" goes by the shape of a sample: mlp, conv1d, conv2d or
        sparse; and linear, a linear map, for tables whose columns spread over more than
        ``hidden_dim`` directions (effective dimension of their correlation matrix). In a dict:
        "mlp", "linear" or, both side by side, "linear_mlp"; "conv1d" or "gru" for sequences
        (n_samples, time, channels); "conv2d" for images (n_samples, channels, height, width);
        "sparse" for tables that are mostly 0; a torch module, of which a copy is trained; or a
        factory called with the shape of a sample. Modules return (batch, any width). Modalities
        that the dict leaves out are "auto". A single name goes to the blocks it reads, "mlp" to
        plain tables; the others are "auto". Texts, pictures, recordings, sequences of different
        length and tables with categories are read by an encoder of
        :mod:`sklearn_omib.encoders`: the one given, for all such or in the dict, or the default
        of its kind.
    hidden_dim : int, default=128
        Width of hidden layers and of the built-in encoders' output z_m.
    latent_dim : int, default=32
        Width k of the codes zeta_m and of the representation xi.
    n_layers : int, default=2
        Linear maps in each MLP encoder; residual blocks or GRU layers in the others.
    dropout : float, default=0.5
        Share of hidden units dropped while training.
    input_dropout : float, default=0.2
        Share of input values dropped while training, in "mlp", "sparse" and "linear_mlp" encoders,
        not before the linear map of the last.
    head_layers : int, default=2
        Linear maps in each branch and in the prediction head. With 1, interactions between
        modalities are left to the attention alone.
    fusion : {"cross_attention", "unnormed_attention", "concat", "sum", "mean", "gated", "film", \
"low_rank"}, default="cross_attention"
        How the codes become xi: the paper's attention over modalities; a linear map of all codes
        side by side, the ablation; or one of the other fusions of :mod:`sklearn_omib.nn`.
    n_heads : int, default=4
        Attention heads; must divide ``latent_dim``.
    modality_dropout : float or "auto", default="auto"
        Share of the modalities' codes that the fusion does not see while training, where there are
        several: none can be relied on alone. "auto" is 0.1, and 150 / n_samples among more than
        1500 samples to train on (of the first chunk or fit, where training goes on).
    combine : {"held_out", "fused"}, default="held_out"
        What is predicted. "held_out": a weighted sum of the fused prediction and those of the
        modalities' branches, of class scores or of numbers, with weights >= 0 that fit the rows
        held out; where none are, and with "fused" in any case, the fused prediction alone, as in
        the paper. ``head_weights_`` tells the weights.
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
        Weight of the branches' task losses in the main phase.
    warmup_epochs : int or "auto", default="auto"
        Epochs of the warm-up phase. "auto" is 10; where encoders train layers that were trained
        before, 1; with an AudioEncoder, 2.
    max_epochs : int or "auto", default="auto"
        Largest number of epochs of the main phase. "auto" is 100; where encoders train layers that
        were trained before, 2, or more where these are fewer than 60 steps; with an AudioEncoder,
        15,000 / n_samples, at least 10 and at most 50.
    batch_size : int or "auto", default="auto"
        Largest number of rows per step; batches differ by at most one row. Processes that share
        a fit take as many each. "auto" is 128; where encoders train layers that were trained
        before, and with an AudioEncoder, 32.
    learning_rate : float or "auto", default="auto"
        Of AdamW. "auto" is 5e-4; where encoders train layers that were trained before, 1e-3, and
        with an AudioEncoder, 3e-3; these layers and its network have a rate of their own. Rates
        then rise over the first tenth of the steps and fall to 0.
    weight_decay : float, default=1.0
        Of AdamW, decoupled from the gradient.
    early_stopping : bool, default=True
        Hold out a validation part and keep the epoch of its lowest task loss. Below 10 samples
        nothing is held out.
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
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; "balanced" makes them inversely proportional to their frequency.
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
    classes_ : ndarray of shape (n_classes,)
        Labels; for a multilabel target, the positions of the labels.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module of all networks side by side, whose
        tensors have a first dimension for the network.
    history_ : DataFrame
        One row per epoch: phase, seconds, and for training and validation every term of the
        objective in nats, with KL, branch loss and divergence of each modality, and its weight.
    prior_loss_ : float
        Task loss of the best constant prediction, in nats: what the losses in ``history_`` start
        from.
    beta_ : float
        The beta used, in 1/nat.
    beta_bounds_ : BetaBounds
        ``lower`` (M_l) and ``upper`` (M_u), and the entropies behind them.
    modality_dropout_ : float
        The share of codes hidden, where there are several modalities.
    modality_weights_ : dict of str to float
        Final weight of each modality's KL; from the second modality on, the paper's r.
    head_weights_ : ndarray of shape (n_modalities + 1,)
        Weights in what is predicted: of the modalities' branches, in the order of
        ``modalities_``, and last of the fused prediction.
    modalities_ : dict of str to tuple
        Shape of one sample of each modality; () of texts, pictures and other single entries.
    encoders_ : dict of str to Encoder
        Fitted, of the modalities that are no numbers as they come.
    recipe_ : Recipe
        ``warmup_epochs``, ``max_epochs``, ``batch_size`` and ``learning_rate`` as they were used.
    n_members_ : int
        Networks whose predictions are averaged.
    n_iter_ : int
        Epochs of the main phase.
    n_features_in_ : int
        Columns of all modalities together.
    feature_names_in_ : ndarray of str
        Their names, where all have one; ``"modality__column"`` where X came in blocks.

    See Also
    --------
    OMIBRegressor : For continuous targets.
    sklearn_omib.ModalityDict : The container that scikit-learn's searches and splits accept.

    References
    ----------
    Wu, Shao, Wang, Sun, "Learning Optimal Multimodal Information Bottleneck Representations",
    ICML 2025, arXiv 2505.19996. Equations, algorithms and tables are numbered as there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = np.where(X["audio"][:, 0] + X["video"][:, 0] > 0, "glad", "sad")
    >>> clf = OMIBClassifier(max_epochs=60, random_state=0).fit(X, y)
    >>> clf.predict_proba(X).shape, clf.transform(X).shape
    ((200, 2), (200, 32))
    >>> clf.score(X, y) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalClassifier._parameter_constraints,
        **OMIB._parameter_constraints,
        **COMBINE,
    }

    def __init__(
        self,
        modalities: dict[str, Any] | None = None,
        *,
        n_members: int | str = "auto",
        encoders: Any = "auto",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        head_layers: int = 2,
        fusion: str = "cross_attention",
        n_heads: int = 4,
        modality_dropout: float | str = "auto",
        combine: str = "held_out",
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
        early_stopping: bool = True,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        class_weight: dict[Any, float] | str | None = None,
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
        self.combine = combine
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
        self.class_weight = class_weight
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
