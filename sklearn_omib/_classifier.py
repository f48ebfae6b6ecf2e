"""OMIBClassifier."""

import numpy as np
from scipy import sparse, special
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ._base import PREDICTION, BaseOMIB
from ._compat import StrOptions, _fit_context
from .nn import BernoulliTask, CategoricalTask


class OMIBClassifier(ClassifierMixin, BaseOMIB):
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
    encoders : str, dict of str to encoder, torch.nn.Module or callable, default="auto"
        The encoder of each modality. "auto" goes by the shape of a sample: mlp, conv1d, conv2d or
        sparse; and linear_mlp, which adds a linear map to the mlp, for tables whose columns
        spread over more than ``hidden_dim`` directions (effective dimension of their correlation
        matrix), given two training rows per column of all modalities. In a dict: "mlp" or
        "linear_mlp"; "conv1d" or "gru" for sequences (n_samples, time, channels); "conv2d" for
        images (n_samples, channels, height, width); "sparse" for sparse matrices; a torch module,
        of which a copy is trained; or a factory called with the shape of a sample. Modules return
        (batch, any width). Modalities that the dict leaves out are "auto". A single name goes to
        the blocks it reads, "mlp" to plain tables; the others are "auto".
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
        Weight of the branches' task losses in the main phase.
    warmup_epochs : int, default=10
        Epochs of the warm-up phase.
    max_epochs : int, default=100
        Largest number of epochs of the main phase.
    batch_size : int, default=128
        Largest number of rows per step; batches differ by at most one row. Processes that share
        a fit take as many each.
    learning_rate : float, default=5e-4
        Of AdamW.
    weight_decay : float, default=1.0
        Of AdamW, decoupled from the gradient.
    early_stopping : bool, default=True
        Hold out a validation part and keep the epoch of its lowest task loss. Below 10 samples
        nothing is held out.
    validation_fraction : float, default=0.15
        Share of the samples held out.
    n_iter_no_change : int, default=15
        Epochs without improvement after which the main phase ends.
    tol : float, default=1e-4
        Improvement, in nats, that counts.
    standardize : bool, default=True
        Bring columns (channels, for sequences and images) to zero mean and unit variance inside;
        sparse blocks are divided by one number. False only converts to float32.
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
    warm_start : bool, default=False
        Go on from the fitted network when fit is called again, with another main phase. Training
        parameters may change in between, the structure of the network may not.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, validation split, shuffling, dropout and noise.
    verbose : int, default=0
        Above 0, show a progress bar per phase.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels; for a multilabel target, the positions of the labels.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch network.
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

    _auto_fraction = 1.0
    _parameter_constraints: dict = {
        **BaseOMIB._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        modalities=None,
        *,
        encoders="auto",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.5,
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
        max_epochs=100,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=1.0,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        class_weight=None,
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
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train one more epoch on a chunk of data.

        The first call sets scale, bound on beta and network from its chunk and warms the branches
        up on it for ``warmup_epochs``. No rows are held out.

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
        self._known_classes = classes
        try:
            return self._partial_fit(X, y, sample_weight)
        finally:
            self._known_classes = None

    def _encode_target(self, y, reset):
        if sparse.issparse(y):
            y = y.toarray()
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_classification_targets(y)
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if reset:
            self._multilabel = multilabel
            self._learn_classes(y)
        elif multilabel != self._multilabel:
            raise ValueError("y must be multilabel if and only if it was when fit began.")
        if multilabel:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"y has {y.shape[1]} labels, expected {len(self.classes_)}.")
            return y.astype(np.float32)
        y = column_or_1d(y, warn=True)
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            raise ValueError(f"y has labels {list(unseen)} not among classes {self.classes_}.")
        return self._label_encoder.transform(y).astype(np.int64)

    def _learn_classes(self, y):
        known = getattr(self, "_known_classes", None)
        if self._multilabel:
            if y.min() == y.max():
                raise ValueError(f"All labels of y are {y.min()}; there is nothing to learn.")
            self.classes_ = np.arange(y.shape[1])
            return
        y = column_or_1d(y) if known is None else np.asarray(known)
        self._label_encoder = LabelEncoder().fit(y)
        self.classes_ = self._label_encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class only, {self.classes_[0]!r}; a classifier needs at least two."
            )

    def _make_task(self):
        task = BernoulliTask() if self._multilabel else CategoricalTask()
        return task, len(self.classes_)

    def _target_weight(self, y):
        if self.class_weight is None:
            return None
        if self._multilabel and isinstance(self.class_weight, dict):
            raise ValueError(
                "class_weight must be None or 'balanced' for a multilabel target; weigh samples "
                "by sample_weight instead."
            )
        weight = compute_sample_weight(self.class_weight, y)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError(
                f"class_weight={self.class_weight!r} must be finite, not negative and not all 0."
            )
        return weight

    def _stratification(self, target):
        return None if self._multilabel else target

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for a multilabel target, the probability of each label on its own.
        """
        scores = self._forward(X, PREDICTION)[0].astype(np.float64)
        return special.expit(scores) if self._multilabel else special.softmax(scores, axis=1)

    def predict_log_proba(self, X):
        """Logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        scores = self._forward(X, PREDICTION)[0].astype(np.float64)
        return (
            special.log_expit(scores) if self._multilabel else special.log_softmax(scores, axis=1)
        )

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        scores = self._forward(X, PREDICTION)[0]
        if self._multilabel:
            return (scores > 0).astype(int)
        return self.classes_[scores.argmax(1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
