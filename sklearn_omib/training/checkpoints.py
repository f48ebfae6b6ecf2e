"""Checkpoints: what a fit needs to go on, after it was killed, as if nothing had been.

A folder holds ``fit.pt``, which says of what fit it is, and a file for each part of its networks,
written by the process that trains the part. What precedes training is computed again, from the
state that the random generator had. All files are plain tensors, numbers and strings.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback

from .._typing import Array
from .._version import __version__
from ..data.container import ModalityDict
from ..data.lazy import LazyBlock
from ..data.ragged import Ragged
from ..nn.stacking import tensors, write
from .devices import resolve_device
from .net import StackedNet
from .stopping import Stopping

FIT = "fit.pt"
# parameters that may change: results do not depend on them
FREE = {"checkpoint_dir", "checkpoint_every", "n_jobs", "verbose", "warm_start"}
DIGEST_ROWS = 256  # of a block outside memory, evenly spaced
BEGIN_ANEW = "Or begin anew with resume=False, or another checkpoint_dir."


class CheckpointError(ValueError):
    """A checkpoint is of another fit, or cannot be read."""


class Checkpoint:
    """The checkpoint of a fit.

    Parameters
    ----------
    folder : path
    every : int
        Epochs between two of them.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int) -> None:
        self.folder, self.every = Path(folder), every
        self.identity, self.resumes = "", False

    def begin(self, facts: Mapping[str, str], rng: np.random.RandomState) -> np.random.RandomState:
        """Take the place of older ones; ``facts`` tell which fit it is, which begins with rng."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.remove()
        self.identity = uuid.uuid4().hex
        self.facts, self.state = dict(facts), _state_of(rng)
        return rng

    def resume(self, facts: Mapping[str, str]) -> np.random.RandomState | None:
        """Take up the one there is, if any; returns the generator that its fit began with.

        Raises
        ------
        CheckpointError
            If it is of another fit, or cannot be read.
        """
        if not (self.folder / FIT).exists():
            return None
        stored = _load(self.folder / FIT)
        self.facts, self.state = stored["facts"], stored["rng"]
        self._compare(facts)
        self.identity, self.resumes = stored["identity"], True
        return _with_state(self.state)

    def confirm(self, net: StackedNet) -> None:
        """Write what fit this is, or see whether its networks begin as they did then."""
        weights = digest(t.detach().cpu().numpy() for part in (net.module_, net.criterion_)
                         for t in (*part.parameters(), *part.buffers()))  # fmt: skip
        initial = {"initial weights and bound on beta": weights}
        if self.resumes:
            self._compare(initial)
            return
        content = {"facts": self.facts | initial, "rng": self.state, "identity": self.identity}
        _save(content, self.folder / FIT)

    def _compare(self, facts: Mapping[str, str]) -> None:
        differing = [name for name, value in facts.items() if self.facts.get(name) != value]
        if not differing:
            return
        said = "; ".join(
            f"{name} was {self.facts.get(name, 'not there')}, is {facts[name]}"
            if len(facts[name]) < 60 else name for name in differing
        )  # fmt: skip
        raise CheckpointError(
            f"The checkpoint in {str(self.folder)!r} is of another fit, which differs in: {said}. "
            "Give the same data and parameters, and encoders of the same initial weights (seeded, "
            f"where you make them). {BEGIN_ANEW}"
        )

    def part(self, number: int) -> PartCheckpoint:
        """That of some networks."""
        return PartCheckpoint(self.folder / f"part-{number}.pt", self.every, self.identity)

    def remove(self) -> None:
        """Delete its files."""
        for pattern in (f"{FIT}*", "part-*.pt*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


class PartCheckpoint:
    """The checkpoint of networks that are trained together.

    Parameters
    ----------
    path : Path
    every : int
    identity : str
        Of the fit they belong to.
    """

    def __init__(self, path: Path, every: int, identity: str) -> None:
        self.path, self.every, self.identity = path, every, identity

    def save(self, net: StackedNet, stopping: Stopping) -> None:
        """Write how far a net is, between two epochs."""
        live = net.live
        optimizer, patience = live.optimizer, stopping.patience_
        content = {
            "identity": self.identity,
            "place": list(net.place),
            "epochs": len(net.history) - net.n_begun,
            "networks": list(live.networks),
            "noted": [tensors(part) for part in (net.module_, net.criterion_)],
            "live": [tensors(part) for part in (live.module, live.objective)],
            "used": list(optimizer.used),
            "moments": [list(pair) for pair in optimizer.state],
            "steps": optimizer.steps,
            "best": patience.best.tolist(),
            "waited": patience.waited.tolist(),
            "generators": [one.get_state() for one in net.generators()],
            "history": [dict(row) for row in net.history],
        }
        _save(content, self.path)

    def load(self, net: StackedNet) -> None:
        """Let a net save here, and bring it to where it was; its phases go on from there."""
        net.checkpoint = self
        if not self.path.exists():
            return
        stored = _load(self.path)
        if stored["identity"] != self.identity:
            return
        for part, values in zip((net.module_, net.criterion_), stored["noted"], strict=True):
            write(part, values)
        for generator, state in zip(net.generators(), stored["generators"], strict=True):
            generator.set_state(state)
        net.history[:] = [dict(row) for row in stored["history"]]
        net.saved = stored


class Saving(Callback):
    """Saves nets that have a checkpoint, and gives them their patience back.

    Parameters
    ----------
    stopping : Stopping
        Which comes before it.
    """

    def __init__(self, stopping: Stopping) -> None:
        self.stopping = stopping

    def on_train_begin(self, net: StackedNet, **kwargs: Any) -> None:
        if net.saved is not None:
            patience = self.stopping.patience_
            patience.best = np.array(net.saved["best"], dtype=float)
            patience.waited = np.array(net.saved["waited"], dtype=int)
            net.saved = None

    def on_epoch_end(self, net: StackedNet, **kwargs: Any) -> None:
        checkpoint = net.checkpoint
        if checkpoint is not None and len(net.history) % checkpoint.every == 0:
            checkpoint.save(net, self.stopping)


# -- which fit it is ------------------------------------------------------------------------------
def facts_of(estimator: Any, X: ModalityDict, **arrays: Array | None) -> dict[str, str]:
    """What decides how a fit ends, for comparison: parameters, data, and what computes.

    Parameters
    ----------
    estimator : estimator instance
    X : ModalityDict
        Validated.
    **arrays : ndarray or None
        Target, weights and groups, by their names.
    """
    given = estimator.get_params(deep=False)
    facts = {name: _described(value) for name, value in given.items() if name not in FREE}
    if not isinstance(given["random_state"], Integral):
        del facts["random_state"]
    facts["estimator"] = type(estimator).__name__
    facts["device"] = str(resolve_device(estimator.device))
    facts["versions"] = f"sklearn-omib {__version__}, torch {torch.__version__}"
    facts |= {f"modality {name!r}": _digest_of(block) for name, block in X.items()}
    return facts | {name: _digest_of(array) for name, array in arrays.items()}


def _described(value: Any) -> str:
    """A parameter in words that are the same in another process."""
    if isinstance(value, Mapping):
        return str({str(name): _described(own) for name, own in value.items()})
    if isinstance(value, (list, tuple)):
        return str([_described(own) for own in value])
    if isinstance(value, BaseEstimator):
        return f"{type(value).__name__}({_described(value.get_params(deep=False))})"
    if isinstance(value, np.ndarray):
        return _digest_of(value)
    if isinstance(value, np.generic):
        value = value.item()
    plain = (str, bytes, bool, int, float, slice, torch.device, torch.nn.Module, type(None))
    if isinstance(value, plain):
        return repr(value)
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _digest_of(block: Any) -> str:
    """That of a block, an array or None; of some rows of what is outside memory."""
    if block is None:
        return "None"
    described = f"{block.shape} {block.dtype}"
    if isinstance(block, LazyBlock):
        rows = np.unique(np.linspace(0, len(block) - 1, DIGEST_ROWS).astype(int))
        return digest([block.take(rows)], described)
    if isinstance(block, Ragged):
        return digest([block.values, block.start, block.lengths], described)
    if sparse.issparse(block):
        return digest([block.data, block.indices, block.indptr], described)
    return digest([block], described)


def digest(arrays: Iterable[Array], described: str = "") -> str:
    """A number, in hexadecimal, that tells arrays apart."""
    digester = hashlib.blake2b(described.encode(), digest_size=32)
    for array in arrays:
        values = array.astype(str) if array.dtype.kind == "O" else array
        digester.update(np.ascontiguousarray(values).data)
    return digester.hexdigest()


# -- files ----------------------------------------------------------------------------------------
def _save(content: Mapping[str, Any], path: Path) -> None:
    """Write a file that is there whole or not at all, whenever the process is killed."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(draft, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _load(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {str(path)!r} cannot be read: {error}. {BEGIN_ANEW}"
        ) from error


def _state_of(rng: np.random.RandomState) -> dict[str, Any]:
    state: Any = rng.get_state()
    return {"kind": state[0], "keys": state[1].tolist(), "rest": list(state[2:])}


def _with_state(state: Mapping[str, Any]) -> np.random.RandomState:
    rng = np.random.RandomState()
    rng.set_state((state["kind"], np.array(state["keys"], dtype=np.uint32), *state["rest"]))
    return rng
