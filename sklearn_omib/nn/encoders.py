"""Encoders Enc_m: v_m -> z_m, one per modality (App. H of the paper)."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from . import masking
from .layers import linear, mlp
from .random import Dropout
from .stacking import copy_module, shape_of, side_by_side


class SparseBatch(NamedTuple):
    """Rows of a sparse matrix in the form :func:`torch.nn.functional.embedding_bag` takes.

    Attributes
    ----------
    columns : Tensor of shape (n_stored,), int64
    offsets : Tensor of shape (batch,), int64
        Where each row begins.
    values : Tensor of shape (n_stored,)
    """

    columns: Tensor
    offsets: Tensor
    values: Tensor


class SequenceBatch(NamedTuple):
    """Sequences of different length, filled up with zeros.

    Attributes
    ----------
    values : Tensor of shape (batch, time, channels)
    mask : Tensor of shape (batch, time), bool
        True where there is a step. A sequence without any, of a missing modality, has one of zeros.
    """

    values: Tensor
    mask: Tensor


def opened(v: Tensor | SequenceBatch) -> tuple[Tensor, Tensor | None]:
    """Values, and the mask of sequences of different length."""
    return (v.values, v.mask) if isinstance(v, SequenceBatch) else (v, None)


# a list: one for each network
Input: TypeAlias = Tensor | SparseBatch | SequenceBatch | list[SparseBatch] | list[SequenceBatch]
Inputs: TypeAlias = Mapping[str, Input]
Factory: TypeAlias = Callable[[tuple[int, ...]], nn.Module]

# Among the inputs: which modalities of a sample are there, (batch, n_modalities), 1 or 0. Left out
# where all are.
PRESENT = "\0present"


def presence(inputs: Inputs) -> Tensor | None:
    """Which modalities are there, (batch, n_modalities), or None for all of them."""
    present = inputs.get(PRESENT)
    return present if torch.is_tensor(present) else None


class MLPEncoder(nn.Module):
    """z = W_L gelu(... gelu(W_1 v)); a sample of more dimensions is flattened.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample.
    hidden_dim : int
        Width of every layer, the output included.
    n_layers : int
        Number of linear maps; 1 is a linear encoder.
    dropout : float
        Behind each gelu.
    input_dropout : float, default=0.0
        On v.
    stack : int or None, default=None
        Number of networks side by side.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden_dim: int,
        n_layers: int,
        dropout: float,
        input_dropout: float = 0.0,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.n_dims = len(input_shape)
        self.input_dropout = Dropout(input_dropout)
        self.layers = mlp(prod(input_shape), hidden_dim, hidden_dim, n_layers, dropout, stack)

    def forward(self, v: Tensor) -> Tensor:
        return self.layers(self.input_dropout(v.flatten(-self.n_dims)))


class LinearEncoder(nn.Module):
    """z = W u, u = v min(1, hidden_dim / n_columns): for tables of many directions.

    Of many columns that each tell a little (genotypes, words), most of what can be learned is
    linear, and a narrow MLP fits noise before it finds that; what code, fusion and heads make of z
    is nonlinear. The factor is taken out of the initial weights again; what stays is that a step
    of Adam, which moves every weight as far, does not move a sum over many columns the farther.

    Parameters as :class:`MLPEncoder`; ``n_layers`` and ``dropout`` have no part in it.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden_dim: int,
        n_layers: int = 1,
        dropout: float = 0.0,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.n_dims, n_columns = len(input_shape), prod(input_shape)
        self.scale = min(hidden_dim / n_columns, 1.0)
        self.map = linear(n_columns, hidden_dim, stack, bias=False)
        self.map.weight.data /= self.scale

    def forward(self, v: Tensor) -> Tensor:
        return self.map(self.scale * v.flatten(-self.n_dims))


class LinearMLPEncoder(MLPEncoder):
    """z = W u + MLP(u): a :class:`LinearEncoder`, and an MLP of the same u beside it.

    Dropout of inputs is on the MLP alone. Parameters as :class:`MLPEncoder`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden_dim: int,
        n_layers: int,
        dropout: float,
        input_dropout: float = 0.0,
        stack: int | None = None,
    ) -> None:
        super().__init__(input_shape, hidden_dim, n_layers, dropout, input_dropout, stack)
        self.linear = LinearEncoder(input_shape, hidden_dim, stack=stack)
        self.layers[0].get_parameter("weight").data /= self.linear.scale

    def forward(self, v: Tensor) -> Tensor:
        return self.linear(v) + super().forward(self.linear.scale * v)


class SparseLinear(nn.Module):
    """x -> x W + b for rows with few entries; only the stored ones are read.

    Parameters
    ----------
    n_features : int
    n_outputs : int
    """

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        bound = max(n_features, 1) ** -0.5
        self.weight = nn.Parameter(torch.empty(n_features, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_outputs).uniform_(-bound, bound))

    def forward(self, batch: SparseBatch) -> Tensor:
        product = F.embedding_bag(
            batch.columns,
            self.weight,
            batch.offsets,
            mode="sum",
            per_sample_weights=batch.values,
        )
        return product + self.bias


class SparseEncoder(MLPEncoder):
    """An MLP whose first layer reads a :class:`SparseBatch`; parameters as :class:`MLPEncoder`."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden_dim: int,
        n_layers: int,
        dropout: float,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__((1,), hidden_dim, n_layers, dropout, input_dropout)
        self.layers[0] = SparseLinear(prod(input_shape), hidden_dim)

    def forward(self, batch: Any) -> Tensor:  # a SparseBatch, where an MLPEncoder reads a Tensor
        return self.layers(batch._replace(values=self.input_dropout(batch.values)))


class Conv1dEncoder(nn.Module):
    """Residual 1-D convolutions over time, then the mean and maximum over time, then linear.

    Reads tensors (batch, time, channels), or a :class:`SequenceBatch`.

    Parameters
    ----------
    input_shape : (time, channels)
    hidden_dim : int
    n_layers : int
        Number of residual blocks.
    dropout : float
    """

    def __init__(
        self, input_shape: tuple[int, ...], hidden_dim: int, n_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.stem = nn.Conv1d(input_shape[1], hidden_dim, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, hidden_dim),
                nn.GELU(),
                Dropout(dropout),
                nn.Conv1d(hidden_dim, hidden_dim, 3, padding=1),
            )
            for _ in range(n_layers)
        )
        self.out = nn.Linear(2 * hidden_dim, hidden_dim)

    def forward(self, v: Tensor | SequenceBatch) -> Tensor:
        values, mask = opened(v)
        h = self.stem(values.transpose(1, 2))
        for block in self.blocks:
            layers: list[Any] = list(block.children())
            step = masking.group_norm(layers[0], h, mask)
            for layer in layers[1:]:  # of which activation and dropout leave zeros as they are
                step = layer(step)
            h = h + step
        return self.out(masking.mean_and_maximum(h, mask))


class GRUEncoder(nn.Module):
    """A bidirectional GRU; z from the last state of each direction and the mean over time.

    Reads tensors (batch, time, channels), or a :class:`SequenceBatch`.

    Parameters
    ----------
    input_shape : (time, channels)
    hidden_dim : int
    n_layers : int
        Number of stacked GRU layers.
    dropout : float
        Applied to the summary of the sequence.
    """

    def __init__(
        self, input_shape: tuple[int, ...], hidden_dim: int, n_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(
            input_shape[1], hidden_dim, n_layers, batch_first=True, bidirectional=True
        )
        self.out = nn.Sequential(Dropout(dropout), nn.Linear(4 * hidden_dim, hidden_dim))

    def forward(self, v: Tensor | SequenceBatch) -> Tensor:
        values, mask = opened(v)
        if mask is None:
            states, last = self.gru(values)
            return self.out(torch.cat([last[-2], last[-1], states.mean(1)], 1))
        lengths = masking.each_length(mask)
        packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        states, _ = pad_packed_sequence(states, batch_first=True)  # zeros behind the end
        mean = states.sum(1) / lengths.to(states.device)[:, None]
        return self.out(torch.cat([last[-2], last[-1], mean], 1))


class Conv2dEncoder(nn.Module):
    """A small residual network on images: each block halves the image, then the mean is taken.

    Parameters
    ----------
    input_shape : (channels, height, width)
    hidden_dim : int
        Channels of the last block; the first has a quarter of them.
    n_layers : int
        Number of residual blocks.
    dropout : float
    """

    def __init__(
        self, input_shape: tuple[int, ...], hidden_dim: int, n_layers: int, dropout: float
    ) -> None:
        super().__init__()
        width = max(hidden_dim // 4, 8)
        self.stem = nn.Conv2d(input_shape[0], width, 3, padding=1)
        widths = [width] + [max(hidden_dim // 2, 8)] * (n_layers - 1) + [hidden_dim]
        pairs = list(pairwise(widths))
        self.shortcuts = nn.ModuleList(nn.Conv2d(a, b, 1, stride=2) for a, b in pairs)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, a),
                nn.GELU(),
                nn.Conv2d(a, b, 3, stride=2, padding=1),
                nn.GroupNorm(1, b),
                nn.GELU(),
                nn.Conv2d(b, b, 3, padding=1),
            )
            for a, b in pairs
        )
        self.out = nn.Sequential(nn.GELU(), Dropout(dropout), nn.Linear(hidden_dim, hidden_dim))

    def forward(self, v: Tensor) -> Tensor:
        h = self.stem(v)
        for shortcut, block in zip(self.shortcuts, self.blocks, strict=True):
            h = shortcut(h) + block(h)
        return self.out(h.mean((2, 3)))


class _Reads(NamedTuple):
    """An encoder's class and the dimensions of the samples it can read."""

    encoder: type[nn.Module]
    dims: tuple[int, ...] | None  # None reads any
    sparse: bool
    meaning: str
    input_dropout: bool = False
    stacks: bool = False  # whether it takes several networks side by side
    ragged: bool = False  # whether it reads sequences of different length too

    def block(self, n_dims: int, is_sparse: bool, is_ragged: bool = False) -> bool:
        """Whether it reads blocks whose samples have so many dimensions."""
        if is_ragged and not self.ragged:
            return False
        return self.sparse == is_sparse and (self.dims is None or n_dims in self.dims)


ENCODERS = {
    "mlp": _Reads(MLPEncoder, None, False, "dense blocks", True, True),
    "linear": _Reads(LinearEncoder, None, False, "dense blocks", stacks=True),
    "linear_mlp": _Reads(LinearMLPEncoder, None, False, "dense blocks", True, True),
    "conv1d": _Reads(
        Conv1dEncoder, (2,), False, "sequences (n_samples, time, channels)", ragged=True
    ),
    "gru": _Reads(GRUEncoder, (2,), False, "sequences (n_samples, time, channels)", ragged=True),
    "conv2d": _Reads(Conv2dEncoder, (3,), False, "images (n_samples, channels, height, width)"),
    "sparse": _Reads(SparseEncoder, (1,), True, "sparse matrices", True),
}
DEFAULT_BY_DIMS = {1: "mlp", 2: "conv1d", 3: "conv2d"}


def default_encoder(sample_shape: tuple[int, ...], is_sparse: bool) -> str:
    """Name of the encoder a block takes when none is given."""
    return "sparse" if is_sparse else DEFAULT_BY_DIMS.get(len(sample_shape), "mlp")


def build_encoder(
    name: str,
    encoder: str | nn.Module | Factory,
    sample_shape: tuple[int, ...],
    is_sparse: bool,
    *,
    hidden_dim: int,
    n_layers: int,
    dropout: float,
    input_dropout: float = 0.0,
    stack: int | None = None,
    is_ragged: bool = False,
) -> tuple[nn.Module, int]:
    """Make the encoder of one modality.

    Parameters
    ----------
    name : str
        Of the modality, for messages.
    encoder : str, torch.nn.Module or callable
        A key of ``ENCODERS``; a module; or a factory called with ``sample_shape`` that returns a
        module. Modules are copied, also what a factory returns, and never trained in place.
    sample_shape : tuple of int
    is_sparse : bool
    hidden_dim, n_layers : int
    dropout, input_dropout : float
    stack : int or None, default=None
        Number of networks side by side.
    is_ragged : bool, default=False
        Whether samples are sequences of different length, (longest, channels) at most; the encoder
        reads a :class:`SequenceBatch`.

    Returns
    -------
    encoder : torch.nn.Module
    width : int
        Number of columns of z_m.

    Raises
    ------
    ValueError
        If the encoder is unknown, cannot read the block, or does not return (batch, width).
    """
    widths: set[int] = set()

    def seen(module: nn.Module) -> nn.Module:
        """The module, once samples went through it: a lazy one has its weights only then."""
        widths.add(_output_width(name, module, sample_shape, is_sparse, is_ragged))
        return module

    if not isinstance(encoder, str):
        module = side_by_side(lambda: seen(_foreign(name, encoder, sample_shape)), stack, True)
        if len(widths) > 1:
            raise ValueError(
                f"The encoder factory of modality {name!r} returned encoders of several widths, "
                f"{sorted(widths)}."
            )
        return module, widths.pop()
    if encoder not in ENCODERS:
        raise ValueError(
            f"Unknown encoder {encoder!r} for modality {name!r}; known are {sorted(ENCODERS)}, "
            "a torch module or a factory."
        )
    reads = ENCODERS[encoder]
    if not reads.block(len(sample_shape), is_sparse, is_ragged):
        kind = "a sparse block" if is_sparse else "a dense block"
        kind = "a block of sequences of different length" if is_ragged else kind
        raise ValueError(
            f"Encoder {encoder!r} reads {reads.meaning}, but modality {name!r} is {kind} with "
            f"samples of shape {sample_shape}."
        )
    options: dict[str, Any] = {"input_dropout": input_dropout} if reads.input_dropout else {}
    shape = (sample_shape, hidden_dim, n_layers, dropout)
    if reads.stacks:
        return reads.encoder(*shape, **options, stack=stack), hidden_dim
    return side_by_side(lambda: seen(reads.encoder(*shape, **options)), stack), hidden_dim


def _foreign(name: str, encoder: nn.Module | Factory, sample_shape: tuple[int, ...]) -> nn.Module:
    """A copy of a user's module, or of what a factory returns."""
    if not isinstance(encoder, nn.Module):
        if not callable(encoder):
            raise ValueError(
                f"The encoder of modality {name!r} must be a name, a torch module or a factory, "
                f"got {type(encoder).__name__}."
            )
        try:
            encoder = encoder(sample_shape)
        except Exception as error:
            raise ValueError(
                f"The encoder factory of modality {name!r} failed on the shape of a sample, "
                f"{sample_shape}: {error}"
            ) from error
        if not isinstance(encoder, nn.Module):
            raise ValueError(
                f"The encoder factory of modality {name!r} must return a torch.nn.Module, got "
                f"{type(encoder).__name__}."
            )
    return own_dropout(_in_float32(encoder))


def _in_float32(module: nn.Module) -> nn.Module:
    """A copy of a user's module that reads float32: made where that was not torch's default."""
    frozen = [p for p in module.parameters() if p.dtype == torch.float64 and not p.requires_grad]
    # which a copy would share, and converting it change
    known = {id(p): nn.Parameter(p.detach().clone(), False) for p in frozen}
    copied = copy_module(module, known)
    return copied._apply(lambda t: t.float() if t.dtype == torch.float64 else t)


def encoding(
    name: str, encoder: nn.Module, v: Input, sample_shape: tuple[int, ...], width: int
) -> Tensor:
    """z_m = Enc_m(v_m) of one modality, of the shape that other layers count on.

    Raises
    ------
    ValueError
        If the encoder fails or returns another shape; the message names the modality.
    """
    before = _batch_dims(v, sample_shape)
    try:
        z = encoder(v)
    except Exception as error:
        if lacks_memory(error):
            raise
        raise ValueError(
            f"The encoder of modality {name!r} failed{_when(encoder)} on a batch of shape "
            f"{(before[-1], *sample_shape)}: {error}"
        ) from error
    if getattr(z, "shape", None) != (*before, width):
        raise ValueError(
            f"The encoder of modality {name!r} must return a tensor of shape (batch, {width}), as "
            f"when it was built; for a batch of shape {(before[-1], *sample_shape)} it returned "
            f"{shape_of(z, len(before) - 1)}{_when(encoder)}."
        )
    return z


def _batch_dims(v: Input, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Dimensions of an input before those of a sample: the networks, if any, and the batch."""
    if isinstance(v, SparseBatch):
        return (len(v.offsets),)
    if isinstance(v, SequenceBatch):
        return (len(v.mask),)
    if isinstance(v, list):
        return len(v), *_batch_dims(v[0], sample_shape)
    return tuple(v.shape[: v.ndim - len(sample_shape)])


def _when(encoder: nn.Module) -> str:
    return " in training mode" if encoder.training else ""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the CPU, is out of memory."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "can't allocate memory" in said
    )


def own_dropout(module: nn.Module) -> nn.Module:
    """Replace torch's Dropout, which draws from the process's generator, by ours."""
    if type(module) is nn.Dropout and module.p < 1:
        return Dropout(module.p)
    for child_name, child in module.named_children():
        setattr(module, child_name, own_dropout(child))
    return module


def _output_width(
    name: str,
    module: nn.Module,
    sample_shape: tuple[int, ...],
    is_sparse: bool,
    is_ragged: bool = False,
) -> int:
    """Run two empty samples through the encoder to learn the width of z_m."""
    example: Input
    hint = ""
    if is_sparse:
        none = torch.zeros(0)
        example = SparseBatch(none.long(), torch.zeros(2, dtype=torch.long), none)
    elif is_ragged:
        mask = torch.ones(2, sample_shape[0], dtype=torch.bool)
        mask[1, 1:] = False  # as of a sample that lacks the modality
        example = SequenceBatch(torch.zeros(2, *sample_shape), mask)
        hint = " (sequences of different length come as a SequenceBatch of values and mask)"
    else:
        example = torch.zeros(2, *sample_shape)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            z = module(example)
    except Exception as error:
        raise ValueError(
            f"The encoder of modality {name!r} failed on samples of shape {sample_shape}{hint}; it "
            "must read batches of them, and return (batch, any width). What it said:\n"
            f"{type(error).__name__}: {error}"
        ) from error
    module.train(was_training)
    shape = tuple(getattr(z, "shape", ()))
    if len(shape) != 2 or shape[0] != 2:
        raise ValueError(
            f"The encoder of modality {name!r} must return a tensor of shape (batch, width); for a "
            f"batch of 2 it returned {shape or type(z).__name__}."
        )
    return shape[1]
