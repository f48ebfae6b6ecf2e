"""Estimators that can be saved, pickled and copied, and what loads them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from sklearn.exceptions import InconsistentVersionWarning as SklearnsWarning

from .._version import __version__
from .file import FORMAT, Path, from_bytes, to_bytes, write_atomically
from .known import Named, path_of
from .plain import from_plain, to_plain

if TYPE_CHECKING:
    from typing_extensions import Self


class InconsistentVersionWarning(SklearnsWarning):
    """An estimator was stored by another version of this package; scikit-learn's has the same name.

    Parameters
    ----------
    name, current, original : str
        Of the estimator's class; versions of this package.
    """

    def __init__(self, name: str, current: str, original: str) -> None:
        super().__init__(
            estimator_name=name,
            current_sklearn_version=current,
            original_sklearn_version=original,
        )

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was stored by sklearn-omib {self.original_sklearn_version}, "
            f"and this is {self.current_sklearn_version}. It may predict otherwise, or not work: "
            "compare its predictions with some of before, or fit it again."
        )


class Persistent:
    """What estimators do to be stored: one form of plain data for files, pickles and skops."""

    def save(self, path: Path) -> None:
        """Write the estimator into a file, without pickle.

        :func:`sklearn_omib.load` reads it. The file is in safetensors' format: weights and other
        arrays, a description of the rest in JSON, and a checksum.

        Parameters
        ----------
        path : str or path
            The file is written beside it, and takes its place when it is whole: whatever fails, an
            older file of that name stays as it was.

        Raises
        ------
        ValueError
            If a parameter holds a function or class without a name to import it by, or an object
            that cannot be taken apart.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_omib import OMIBClassifier, load
        >>> X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
        >>> clf = OMIBClassifier(max_epochs=2, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clf.save(f"{folder}/clf.omib")
        ...     again = load(f"{folder}/clf.omib")
        >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        plain = to_plain(self)
        named = zip(plain.foreign, plain.where, strict=True)
        description = {
            "version": __version__,
            "estimator": type(self).__name__,
            "foreign": json.dumps([_import_path(value, where) for value, where in named]),
            "state": plain.text,
        }
        write_atomically(path, to_bytes(description, plain.arrays))

    def __plain__(self) -> dict[str, Any]:
        return vars(self)

    def __getstate__(self) -> dict[str, Any]:
        plain = to_plain(vars(self))
        return {
            "sklearn_omib": __version__,
            "format": FORMAT,
            "state": plain.text,
            "arrays": plain.arrays,
            "foreign": plain.foreign,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        name = type(self).__name__
        if state["format"] > FORMAT:
            raise ValueError(
                f"{name} was stored by sklearn-omib {state['sklearn_omib']}, in a form that this "
                f"version, {__version__}, cannot read: pip install --upgrade sklearn-omib."
            )
        _compare_versions(name, state["sklearn_omib"])
        self.__dict__.update(from_plain(state["state"], state["arrays"], state["foreign"]))

    def __copy__(self) -> Self:  # copy.copy would take plain data, which hold copies of all
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new


def load(path: Path, trusted: Iterable[Named] | Mapping[str, Named] = ()) -> Any:
    """Read an estimator from a file that its method ``save`` has written.

    No code of the file is executed and nothing is imported by its word: of classes it can name
    those of this package, and some of scikit-learn's and torch's. A file may thus come from
    somebody you do not know, unless you trust classes of your own to what stands in it.

    Parameters
    ----------
    path : str or path
    trusted : list of classes and functions, or dict of str to such, default=()
        What the estimator holds of your own: encoders, factories, objects that estimate entropies,
        and the class of the estimator, if it is yours. A dict says which takes the place of which
        name in the file, where it was moved since: ``{"__main__.Encoder": Encoder}``.

    Returns
    -------
    estimator
        As it was saved, on the device it was fitted on, or on the CPU where that is not there.

    Raises
    ------
    ValueError
        If the file is not one that ``save`` has written, was changed or cut off, has a newer
        format, or names a class or function that is not among ``trusted``.

    Warns
    -----
    InconsistentVersionWarning
        If another version of this package has written it.

    Examples
    --------
    >>> from sklearn_omib import load
    >>> load("clf.omib", trusted=[MyEncoder]).predict(X)  # doctest: +SKIP
    """
    data = FilePath(path).read_bytes()
    described, arrays = from_bytes(data, str(path))
    if not isinstance(trusted, Mapping):
        trusted = {path_of(one): one for one in trusted}
    foreign = json.loads(described["foreign"])
    refused = [name for name in foreign if name not in trusted]
    if refused:
        last = [name.rpartition(".")[2] for name in refused]
        raise ValueError(
            f"{path} needs {', '.join(refused)}, which neither this package nor scikit-learn or "
            f"torch has. If you trust the file and these, import them and say so: "
            f"load({str(path)!r}, trusted=[{', '.join(last)}])."
        )
    _compare_versions(described["estimator"], described["version"])
    try:
        estimator = from_plain(described["state"], arrays, [trusted[name] for name in foreign])
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(estimator, Persistent):
        raise ValueError(f"{path} holds no estimator, but {type(estimator).__name__}.")
    return estimator


def _compare_versions(name: str, original: str) -> None:
    if original != __version__:
        warning = InconsistentVersionWarning(name, __version__, original)
        warnings.warn(warning, stacklevel=3)


def _import_path(value: Any, where: str) -> str:
    """Where a class or function can be imported from by somebody who trusts it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    found: Any = sys.modules.get(str(module))
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if found is not value:
        what = f"{type(value).__name__} {name or repr(value)}"
        raise ValueError(
            f"{where or 'The estimator'} holds {what}, which a file without pickle cannot: only "
            "classes and functions that can be imported, and objects made of attributes. Define "
            "it at the top level of a module (no lambda, nothing inside a function), or use "
            "joblib.dump."
        )
    return f"{module}.{name}"
