"""OMIBRegressor, and what all regressors do."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from ._compat import _fit_context
from ._estimator import COMBINE, BaseMultimodal
from ._typing import Array, Modalities, RandomState
from .methods import OMIB
from .tasks import Regression
from .training.net import LOG_VARIANCE, PREDICTION

if TYPE_CHECKING:
    from typing_extensions import Self


class MultimodalRegressor(RegressorMixin, BaseMultimodal):
    """Predictions of regressors, whatever the method."""

    _task: Regression

    def _make_task(self) -> Regression:
        return Regression()

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Modalities, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train one more epoch on a chunk of data.

        The first call sets the scale of X and y, what the method learns from the data and the
        networks from its chunk, and warms the branches up on it for ``warmup_epochs``. No rows
        are held out.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight, Regression())

    def predict(self, X: Modalities, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Predict the target.

        Parameters
        ----------
        X : as in fit
        return_std : bool, default=False
            Whether to return the standard deviation of the target around the prediction too. Its
            level is set by the errors on the validation part, or on the training part where none
            is held out; its variation over samples is learned. Of several networks it is that of
            the mixture of their normal distributions.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if ``return_std``.
        """
        if not return_std:
            (predictions,) = self._outputs(X, PREDICTION)
            return self._task.mean(predictions)
        predictions, log_variance = self._outputs(X, PREDICTION, LOG_VARIANCE)
        variance = self.net_.criterion_.task.variance.cpu().numpy()
        return self._task.mean(predictions), self._task.std(predictions, log_variance, variance)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class OMIBRegressor(MultimodalRegressor):
    """Regressor on several modalities by the optimal multimodal information bottleneck.

    Each modality is encoded, compressed by a variational bottleneck and fused by cross-attention
    into one representation xi, from which the target is predicted. A warm-up trains one branch
    per modality; then the network minimises the Gaussian negative log-likelihood +
    beta * sum_m w_m KL_m + the branches' losses, with beta inside the bound that keeps what the
    modalities know of the target and drops the rest, and weights w_m that rebalance the
    modalities (Alg. 1 and 2).

    The target may have several outputs. It is standardised inside, and the likelihood has the
    residual variance of each output, so beta does not depend on the units of y.

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
        The encoder of each modality. "auto" goes by the shape of a sample: linear_mlp, which adds
        a linear map to an mlp, conv1d, conv2d or sparse; and linear, that map alone, for tables
        whose columns spread over more than ``hidden_dim`` directions (effective dimension of
        their correlation matrix). In a dict: "mlp", "linear" or "linear_mlp"; "conv1d" or "gru"
        for sequences (n_samples, time, channels); "conv2d" for images (n_samples, channels,
        height, width); "sparse" for tables that are mostly 0; a torch module, of which a copy is
        trained; or a factory called with the shape of a sample. Modules return (batch, any
        width). Modalities that the dict leaves out are "auto". A single name goes to the blocks
        it reads, "mlp" to plain tables; the others are "auto". Texts, pictures, recordings,
        sequences of different length and tables with categories are read by an encoder of
        :mod:`sklearn_omib.encoders`: the one given, for all such or in the dict, or the default
        of its kind.
    hidden_dim : int, default=128
        Width of hidden layers and of the built-in encoders' output z_m.
    latent_dim : int, default=32
        Width k of the codes zeta_m and of the representation xi.
    n_layers : int, default=2
        Linear maps in each MLP encoder; residual blocks or GRU layers in the others.
    dropout : float, default=0.1
        Share of hidden units dropped while training.
    input_dropout : float, default=0.0
        Share of input values dropped while training, in "mlp", "sparse" and "linear_mlp" encoders,
        not before the linear map of the last.
    head_layers : int, default=2
        Linear maps in each branch and in the prediction head. With 1, interactions between
        modalities are left to the attention alone.
    fusion : {"cross_attention", "unnormed_attention", "concat", "sum", "mean", "gated", "film", \
"low_rank"}, default="unnormed_attention"
        How the codes become xi: by the paper's attention over modalities, with a norm before it
        or none; a linear map of all codes side by side, the ablation; or one of the other fusions
        of :mod:`sklearn_omib.nn`. A norm hides how long a code is, which tells how far a number
        is from its mean.
    n_heads : int, default=4
        Attention heads; must divide ``latent_dim``.
    modality_dropout : float or "auto", default=0.0
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
        M_u and "lower" M_l of ``beta_bounds_`` (eq. 17); "auto" is a third of M_u.
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
    weight_decay : float, default=0.3
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
    OMIBClassifier : For classes.
    sklearn_omib.ModalityDict : The container that scikit-learn's searches and splits accept.

    References
    ----------
    Wu, Shao, Wang, Sun, "Learning Optimal Multimodal Information Bottleneck Representations",
    ICML 2025, arXiv 2505.19996. Equations, algorithms and tables are numbered as there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = X["audio"][:, 0] + X["video"][:, 0]
    >>> reg = OMIBRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> mean, std = reg.predict(X, return_std=True)
    >>> mean.shape, std.shape, reg.transform(X).shape
    ((200,), (200,), (200, 32))
    >>> reg.score(X, y) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalRegressor._parameter_constraints,
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
        dropout: float = 0.1,
        input_dropout: float = 0.0,
        head_layers: int = 2,
        fusion: str = "unnormed_attention",
        n_heads: int = 4,
        modality_dropout: float | str = 0.0,
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
        weight_decay: float = 0.3,
        early_stopping: bool = True,
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
