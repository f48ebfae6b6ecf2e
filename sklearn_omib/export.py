"""Fitted estimators for other programs: ONNX models and torch programs, with the scaling inside.

Both read a float32 tensor for each modality, of any number of rows, and return what the methods of
the estimator of the same names return. torch exports; onnx and onnxscript are imported where they
are used.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ._classifier import MultimodalClassifier
from ._detector import MultimodalAnomalyDetector
from ._estimator import BaseMultimodal
from ._regressor import MultimodalRegressor
from ._search import BaseOMIBCV
from ._typing import Array
from ._version import __version__
from .data.scaling import BlockScaler
from .nn.encoders import PRESENT
from .nn.stacking import copy_module
from .persistence.file import Path, write_atomically
from .tasks.detection import ANOMALOUS, NORMAL, TINY
from .training.net import DISTANCE, ERRORS, LOG_VARIANCE, PREDICTION, PRESENCE, XI

__all__ = ["to_onnx", "to_torch_export"]

N_EXAMPLES = 3  # rows to trace with: torch takes sizes of 0 and 1 for fixed


def to_torch_export(estimator: Any) -> torch.export.ExportedProgram:
    """Make a torch program of a fitted estimator.

    Parameters
    ----------
    estimator : OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector, a search or a baseline
        Fitted, on dense blocks.

    Returns
    -------
    torch.export.ExportedProgram
        On the CPU. ``program.module()`` takes a dict of float32 tensors, one of any number of rows
        for each modality in the order of fit, and returns a dict of tensors named as the methods
        that give the same: ``predict`` and ``transform``; ``predict_proba`` of classifiers;
        ``predict_std`` of regressors, the standard deviation; ``score_samples`` and
        ``decision_function`` of detectors. ``predict`` of a classifier gives places in
        ``classes_`` where labels are no numbers.

    Raises
    ------
    TypeError
        If the estimator is none of this package.
    ValueError
        If a modality is a sparse block, or an encoder of your own cannot be traced by torch.export.

    Notes
    -----
    A row of NaN is a sample without the modality, as in ``predict``; else values are not checked.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_omib import OMIBRegressor
    >>> from sklearn_omib.export import to_torch_export
    >>> X = {"a": np.random.default_rng(0).normal(size=(60, 3)), "b": np.arange(60.)[:, None]}
    >>> reg = OMIBRegressor(max_epochs=2, random_state=0).fit(X, X["a"][:, 0])
    >>> program = to_torch_export(reg)
    >>> said = program.module()({"a": torch.zeros(5, 3), "b": torch.zeros(5, 1)})
    >>> {name: tuple(tensor.shape) for name, tensor in said.items()}
    {'predict': (5,), 'predict_std': (5,), 'transform': (5, 32)}
    """
    module = _exportable(estimator)
    examples = {
        name: torch.zeros(N_EXAMPLES, *shape) for name, shape in estimator.modalities_.items()
    }
    rows = torch.export.Dim("n_samples", min=1)
    shapes = {"inputs": {name: {0: rows} for name in examples}}
    # layers of transformers would take a kernel that no other runtime has
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _quietly(), torch.no_grad():
            return torch.export.export(module, (examples,), dynamic_shapes=shapes)
    except Exception as error:
        raise ValueError(
            f"torch.export cannot trace the networks of this {type(estimator).__name__}; encoders "
            f"of your own must do without what depends on values: {error}"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def to_onnx(estimator: Any, path: Path) -> None:
    """Write a fitted estimator as an ONNX model.

    The model has an input for each modality, named as it is, float32 of shape (n_samples, ...), and
    an output for each method, as :func:`to_torch_export` lists them; ``predict`` of a classifier
    gives the labels themselves, also where they are strings. Names of classes and shapes of
    modalities stand in the model's metadata. Needs ``pip install 'sklearn-omib[export]'``.

    Parameters
    ----------
    estimator : OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector, a search or a baseline
        Fitted, on dense blocks.
    path : str or path
        An older file of that name is replaced once the new one is whole.

    Raises
    ------
    TypeError, ValueError
        As :func:`to_torch_export`; also if a modality bears the name of an output.
    ImportError
        If onnx or onnxscript is not installed.

    Notes
    -----
    A row of NaN is a sample without the modality, as in ``predict``; else values are not checked.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.export import to_onnx
    >>> X = {"a": np.random.default_rng(0).normal(size=(60, 3)), "b": np.arange(60.)[:, None]}
    >>> clf = OMIBClassifier(max_epochs=2, random_state=0).fit(X, np.arange(60) % 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(clf, f"{folder}/clf.onnx")
    ...     session = onnxruntime.InferenceSession(f"{folder}/clf.onnx")
    >>> inputs = {name: block.astype(np.float32) for name, block in X.items()}
    >>> (p,) = session.run(["predict_proba"], inputs)
    >>> bool(np.abs(p - clf.predict_proba(X)).max() < 1e-5)
    True
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise ImportError(
            "An ONNX model needs onnx and onnxscript: pip install 'sklearn-omib[export]'."
        ) from error
    program = to_torch_export(estimator)
    outputs = list(program.module()(program.example_inputs[0][0]))
    inputs = list(estimator.modalities_)
    taken = [name for name in inputs if name in outputs]
    if taken:
        raise ValueError(
            f"Modalities {taken} bear names of the model's outputs, {outputs}, and a name in an "
            "ONNX model stands for one thing: give the modalities other names in fit."
        )
    with _quietly():
        exported: Any = torch.onnx.export(
            program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
        )
    model = exported.model_proto
    classes = getattr(estimator, "classes_", None)
    if classes is not None and not _is_number(classes):
        _name_labels(onnx, model, [str(label) for label in classes])
    shapes = {name: list(shape) for name, shape in estimator.modalities_.items()}
    described = {
        "sklearn_omib": __version__,
        "estimator": type(estimator).__name__,
        "modalities": json.dumps(shapes),
    }
    if classes is not None:
        described["classes"] = json.dumps(classes.tolist(), default=str)
    onnx.helper.set_model_props(model, described)
    onnx.checker.check_model(model)
    write_atomically(path, model.SerializeToString())


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what torch says of its own insides and of libraries that are not there to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", kind)
            # of recurrent layers, which have their weights in a list too
            warnings.filterwarnings("ignore", "The tensor attributes", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _name_labels(onnx: Any, model: Any, labels: list[str]) -> None:
    """Let the output ``predict`` be labels, in the place of their numbers."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["place" if name == "predict" else name for name in node.output]
        node.input[:] = ["place" if name == "predict" else name for name in node.input]
    kind = onnx.TensorProto.STRING
    encoded = [label.encode() for label in labels]
    graph.initializer.append(onnx.helper.make_tensor("labels", kind, [len(labels)], encoded))
    graph.node.append(onnx.helper.make_node("Gather", ["labels", "place"], ["predict"]))
    (output,) = [one for one in graph.output if one.name == "predict"]
    output.type.tensor_type.elem_type = kind


def _is_number(classes: Array) -> bool:
    return classes.dtype.kind in "biuf"


# -- torch modules that do what estimators do -----------------------------------------------------
def _exportable(estimator: Any) -> nn.Module:
    """An estimator as a module from a dict of blocks to a dict of what its methods return."""
    if isinstance(estimator, BaseOMIBCV):
        check_is_fitted(estimator, "estimators_")
        modules = [_exportable(one) for one in estimator.estimators_]
        return modules[0] if len(modules) == 1 else _AVERAGES[type(modules[0])](modules)
    for kind, module in _MODULES.items():
        if isinstance(estimator, kind):
            check_is_fitted(estimator, "net_")
            return module(estimator)
    raise TypeError(
        f"Estimators of sklearn_omib can be exported, got {type(estimator).__name__}. Of a "
        "pipeline, export the estimator at its end: pipeline[-1]."
    )


class _Scale(nn.Module):
    """What :class:`~sklearn_omib.data.scaling.BlockScaler` does to float32 blocks of a modality.

    Parameters
    ----------
    scaler : BlockScaler
    name : str
    n_dims : int
        Of a block; channels are the last, but the second of more than three.
    """

    shift: Tensor
    remainder: Tensor
    scale: Tensor
    fill: Tensor

    def __init__(self, scaler: BlockScaler, name: str, n_dims: int) -> None:
        super().__init__()
        own: Any
        own, zero = scaler.scalers_.get(name), np.zeros(1)
        mean = zero if own is None else own.mean_
        scale, self.incomplete = np.ones(1), list(map(int, scaler.incomplete_.get(name, ())))
        fill, self.masks = mean, scaler.missing_values == "mask"
        if scaler.standardize:
            scale, fill = own.scale_, zero
        else:
            mean = zero
        shape = (-1, *[1] * (n_dims - 2)) if n_dims > 3 else (-1,)
        shift = mean.astype(np.float32)
        parts = {"shift": shift, "remainder": mean - shift, "scale": scale, "fill": fill}
        for what, part in parts.items():
            self.register_buffer(what, torch.tensor(part.astype(np.float32)).reshape(shape))

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The block as networks read it, and which samples have it: (n_samples,), 1 or 0."""
        scaled = (v - self.shift - self.remainder) / self.scale
        if not self.masks:
            return scaled, torch.ones_like(scaled.flatten(1)[:, 0])
        lost = v.isnan()
        present = 1 - lost.flatten(1).all(1).to(v.dtype)
        here = present.view(-1, *[1] * (v.ndim - 1))
        scaled = torch.where(lost, self.fill, scaled) * here
        if self.incomplete:
            told = lost[:, self.incomplete].to(v.dtype) * here
            scaled = torch.cat([scaled, told], 1)
        return scaled, present


class _Networks(nn.Module):
    """Scaled blocks, and what all networks of an estimator make of them."""

    def __init__(self, estimator: BaseMultimodal) -> None:
        super().__init__()
        scaler, net = estimator._scaler, estimator.net_
        for name, encoder in estimator.encoders_.items():
            raise ValueError(
                f"Modality {name!r} is read by {type(encoder).__name__} before the network, and "
                f"exported models hold the network alone. Give numbers: fit on what encoders_"
                f"[{name!r}].transform makes of it, as a dense array, and export that."
            )
        if scaler.sparse_names:
            (name, *_) = sorted(scaler.sparse_names)
            raise ValueError(
                f"Modality {name!r} is a sparse block, and exported models read dense ones. Fit "
                f"with encoders={{{name!r}: 'mlp'}}, which makes it dense, and export that."
            )
        self.names, self.n_networks = list(estimator.modalities_), net.n_networks
        self.scales = nn.ModuleList(
            _Scale(scaler, name, len(shape) + 1) for name, shape in estimator.modalities_.items()
        )
        self.masks = scaler.missing_values == "mask"
        self.networks = copy_module(net.module_).cpu().eval().requires_grad_(False)

    def forward(self, blocks: Mapping[str, Tensor]) -> tuple[Any, ...]:
        scaled = [scale(blocks[name]) for name, scale in zip(self.names, self.scales, strict=True)]
        inputs = {name: block for name, (block, _) in zip(self.names, scaled, strict=True)}
        if self.masks:
            inputs[PRESENT] = torch.stack([present for _, present in scaled], -1)
        own = {name: block.expand(self.n_networks, *block.shape) for name, block in inputs.items()}
        return self.networks.predict(own)


class _Classifier(nn.Module):
    """As the methods of a classifier."""

    labels: Tensor

    def __init__(self, estimator: MultimodalClassifier) -> None:
        super().__init__()
        self.networks = _Networks(estimator)
        self.multilabel, prior = estimator._task.multilabel, estimator._task.prior
        self.prior = None if prior is None else np.asarray(prior).tolist()
        classes = estimator.classes_
        labels = classes if _is_number(classes) else np.arange(len(classes))
        self.register_buffer("labels", torch.tensor(labels))

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = self.networks(inputs)
        scores = outputs[PREDICTION]
        p = (scores.sigmoid() if self.multilabel else scores.softmax(-1)).mean(0)
        if self.prior is not None:
            p = torch.zeros_like(p) + torch.tensor(self.prior, dtype=p.dtype)
        return self.decided({"predict_proba": p, "transform": outputs[XI][0]})

    def decided(self, said: dict[str, Tensor]) -> dict[str, Tensor]:
        """With the prediction that follows from the probabilities."""
        p = said["predict_proba"]
        label = (p > 0.5).long() if self.multilabel else self.labels[p.argmax(1)]
        return {"predict": label, **said}


class _Regressor(nn.Module):
    """As the methods of a regressor."""

    mean: Tensor
    scale: Tensor
    variance: Tensor

    def __init__(self, estimator: MultimodalRegressor) -> None:
        super().__init__()
        self.networks, task = _Networks(estimator), estimator._task
        self.one_output = task.one_output
        self.prior = None if task.prior is None else [part.tolist() for part in task.prior]
        scale = np.where(task.varies, task.scale, 0.0)  # of what was constant in fit
        self.register_buffer("mean", torch.tensor(task.location, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        variance = estimator.net_.criterion_.task.variance
        self.register_buffer("variance", variance.detach().cpu().clone().unsqueeze(1))

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = self.networks(inputs)
        predictions = outputs[PREDICTION]
        within = (self.variance * outputs[LOG_VARIANCE].exp()).mean(0)
        std = (within + predictions.var(0, correction=0)).sqrt()
        mean = predictions.mean(0)
        if self.prior is not None:
            mean, std = (torch.zeros_like(mean) + torch.tensor(part) for part in self.prior)
        mean, std = mean * self.scale + self.mean, std * self.scale
        if self.one_output:
            mean, std = mean[:, 0], std[:, 0]
        return {"predict": mean, "predict_std": std, "transform": outputs[XI][0]}


class _AnomalyDetector(nn.Module):
    """As the methods of a detector."""

    distance_unit: Tensor
    error_unit: Tensor

    def __init__(self, estimator: MultimodalAnomalyDetector) -> None:
        super().__init__()
        self.networks, task = _Networks(estimator), estimator._task
        self.offset, self.reconstruction = float(estimator.offset_), float(task.reconstruction)
        self.register_buffer("distance_unit", torch.tensor(task.distance_unit[..., -1]))
        self.register_buffer("error_unit", torch.tensor(task.error_unit[:, :, 0]))

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = self.networks(inputs)
        distance = outputs[DISTANCE][..., -1] / self.distance_unit
        usual = (outputs[PRESENCE] * self.error_unit).sum(-1)
        error = outputs[ERRORS][:, :, 0].sum(-1)
        error = torch.where(usual > 0, error / usual.clamp_min(TINY), 1.0)
        score = -(distance + self.reconstruction * error) / (1 + self.reconstruction)
        score = score.mean(0)
        decision = score - self.offset
        return {
            "predict": torch.where(decision < 0, ANOMALOUS, NORMAL),
            "score_samples": score,
            "decision_function": decision,
            "transform": outputs[XI][0],
        }


class _Average(nn.Module):
    """Several estimators of one kind, as a search without a refit has them."""

    def __init__(self, modules: list[nn.Module]) -> None:
        super().__init__()
        self.estimators = nn.ModuleList(modules)

    def each(self, inputs: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """What each says."""
        said = [module(inputs) for module in self.estimators]
        return {name: [one[name] for one in said] for name in said[0]}


class _AverageClassifier(_Average):
    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said = self.each(inputs)
        p = torch.stack(said["predict_proba"]).mean(0)
        first: Any = self.estimators[0]
        return first.decided({"predict_proba": p, "transform": torch.cat(said["transform"], 1)})


class _AverageRegressor(_Average):
    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said = self.each(inputs)
        mean, std = (torch.stack(said[name]) for name in ("predict", "predict_std"))
        variance = std.square().mean(0) + mean.var(0, correction=0)
        return {
            "predict": mean.mean(0),
            "predict_std": variance.sqrt(),
            "transform": torch.cat(said["transform"], 1),
        }


_MODULES: dict[type, Any] = {
    MultimodalClassifier: _Classifier,
    MultimodalRegressor: _Regressor,
    MultimodalAnomalyDetector: _AnomalyDetector,
}
_AVERAGES: dict[type, Any] = {_Classifier: _AverageClassifier, _Regressor: _AverageRegressor}
