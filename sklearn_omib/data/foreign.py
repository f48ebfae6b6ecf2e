"""Objects of other libraries as blocks, with what they call their samples and columns."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from .._compat import _get_output_config
from .._typing import Array, Block


class Labelled(NamedTuple):
    """A block, and names that are not in it.

    Attributes
    ----------
    block : array, DataFrame, sparse matrix or object outside memory
    samples : pandas.Index or None
        Names of its rows.
    columns : list of str or None
        Names of its columns, where the block does not hold them itself.
    """

    block: Block
    samples: pd.Index | None = None
    columns: list[str] | None = None


def is_mudata(X: object) -> bool:
    """Whether X has what is used of MuData: a mapping ``mod`` of AnnData, matrices in ``X``."""
    return isinstance(getattr(X, "mod", None), Mapping)


def is_anndata(X: object) -> bool:
    """Whether X has what is used of AnnData: a matrix ``X`` and the names of its two axes."""
    return hasattr(X, "X") and hasattr(X, "obs_names") and hasattr(X, "var_names")


def has_levels(X: object) -> bool:
    """Whether X is a DataFrame whose columns have several levels, the first for the modality."""
    return isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex)


def is_polars(block: object, kind: str = "DataFrame") -> bool:
    """Whether a block is of a kind that polars has; it need not be installed."""
    return isinstance(block, getattr(sys.modules.get("polars"), kind, ()))


def as_pandas(block: Block) -> Block:
    """A DataFrame of polars as one of pandas, nulls as NaN or None; any other block as it is."""
    if not is_polars(block):
        return block
    columns = {
        column.name: column.to_list() if column.dtype.is_nested() else column.to_numpy()
        for column in block.get_columns()
    }
    return pd.DataFrame(columns, index=range(len(block)))


def labelled(block: Block) -> Labelled:
    """Take a block out of AnnData or torch; any other object is the block."""
    if is_polars(block, "LazyFrame"):
        raise TypeError("A polars LazyFrame holds no rows yet; give what its collect() returns.")
    if is_anndata(block):
        columns = [str(name) for name in block.var_names]
        return Labelled(block.X, pd.Index(block.obs_names), columns)
    if isinstance(block, torch.Tensor):
        return Labelled(_from_torch(block))
    named = isinstance(block, (pd.DataFrame, pd.Series))
    return Labelled(block, block.index if named else None)


def by_first_level(frame: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """The parts of a DataFrame whose columns have several levels, by the first of them."""
    names = frame.columns.get_level_values(0).unique()
    return {name: frame[name] for name in names}


def _from_torch(tensor: torch.Tensor) -> Array | sparse.csr_matrix:
    """The values of a tensor, which may need gradients or lie anywhere, where numpy can be."""
    tensor = tensor.detach().cpu()
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()  # bfloat16 and narrower, which numpy does not know
    if tensor.layout != torch.strided:
        stored = tensor.to_sparse().coalesce()
        places = tuple(stored.indices().numpy())
        return sparse.csr_matrix((stored.values().numpy(), places), shape=tuple(stored.shape))
    return tensor.resolve_conj().resolve_neg().numpy()


def as_table(X: Block) -> Block:
    """One table of any library as what is cut into modalities; with names, where it has them."""
    block, samples, columns = labelled(X)
    if columns is not None and isinstance(block, np.ndarray):
        return pd.DataFrame(block, samples, columns)
    # of the other formats columns cannot be taken
    return block.tocsr() if sparse.issparse(block) and block.ndim == 2 else as_pandas(block)


def with_samples(transformer: Any, values: Any, X: Any) -> Any:
    """What a transformer made of X with the names of its samples, where it is to be a DataFrame.

    scikit-learn takes an index from a DataFrame alone, and X may be several of them.
    """
    if sparse.issparse(values) or _get_output_config("transform", transformer)["dense"] != "pandas":
        return values
    return pd.DataFrame(values, sample_names(X))


def sample_names(X: Any) -> pd.Index | None:
    """Names of the samples of any accepted input: those of the first block that has some."""
    noted = getattr(X, "samples", None)
    if isinstance(noted, pd.Index):  # of a ModalityDict
        return noted
    if isinstance(X, pd.DataFrame) or is_anndata(X):
        return labelled(X).samples
    blocks = getattr(X, "mod", X)
    if not isinstance(blocks, (Mapping, list, tuple)):
        return None
    for block in blocks.values() if isinstance(blocks, Mapping) else blocks:
        if isinstance(block, pd.DataFrame) or is_anndata(block):
            return labelled(block).samples
    return None
