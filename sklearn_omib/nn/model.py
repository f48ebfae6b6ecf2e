"""Networks of several modalities: encoders, codes, fusion, head and branches; that of OMIB."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from .bottleneck import Code, Projection, VariationalBottleneck
from .encoders import Factory, Inputs, build_encoder, encoding, presence
from .fusion import Fused, make_fusion
from .layers import linear, mlp
from .random import AnyGenerator, Dropout, standard_normal_like
from .stacking import abreast

MAX_LOG_VARIANCE = 3.0  # a sample's standard deviation is within a factor e^1.5 of the average
CODES: dict[str, type[nn.Module]] = {"gaussian": VariationalBottleneck, "plain": Projection}


Encodings: TypeAlias = Tensor | list[Tensor]  # a Tensor: (n_networks, n_modalities, batch, width)


class PerModality(nn.ModuleList):
    """A module for each modality, or for all of them one that has them abreast.

    Parameters
    ----------
    modules : list of torch.nn.Module
    together : bool
        Whether inputs come as one tensor. Then the modules are of several networks and alike.
    """

    def __init__(self, modules: list[nn.Module], together: bool) -> None:
        super().__init__([abreast(modules)] if together else modules)

    def forward(self, inputs: Encodings) -> Any:
        """Outputs of shape (..., n_modalities, batch, n_outputs), each where there are several."""
        if torch.is_tensor(inputs):
            return self[0](inputs)
        outputs = [module(part) for module, part in zip(self, inputs, strict=True)]
        if torch.is_tensor(outputs[0]):
            return torch.stack(outputs, -3)
        parts = [None if p[0] is None else torch.stack(p, -3) for p in zip(*outputs, strict=True)]
        return outputs[0]._make(parts)


class NetworkOutput(NamedTuple):
    """What a network computes for one batch.

    Attributes
    ----------
    prediction : Tensor of shape (batch, n_outputs)
        yhat, from xi.
    branches : tuple of Tensors of shape (batch, n_outputs)
        yhat_m, from what the branch of a modality reads; empty where there are none.
    mu : Tensor of shape (batch, n_modalities, latent_dim)
        The codes of the modalities, their means where they are drawn.
    sigma : Tensor of shape (batch, n_modalities, latent_dim) or None
        Their standard deviations.
    xi : Tensor of shape (batch, latent_dim)
    log_variance : Tensor of shape (batch, n_outputs) or None
        Of the prediction, where the network has a variance head.
    attention : Tensor of shape (batch, n_heads, n_modalities, n_modalities) or None
    joint : Code or None
        That of the fusion, where the network has a joint bottleneck.
    penalties : dict of str to Tensor
        Of each sample, (batch,), or of the batch, ().
    present : Tensor of shape (batch, n_modalities) or None
        1, and 0 where a modality is missing; None where none is.
    """

    prediction: Tensor
    branches: tuple[Tensor, ...]
    mu: Tensor
    sigma: Tensor | None
    xi: Tensor
    log_variance: Tensor | None
    attention: Tensor | None
    joint: Code | None
    penalties: dict[str, Tensor]
    present: Tensor | None = None


class FusionNetwork(nn.Module):
    """v_m -> z_m -> zeta_m -> xi -> yhat: the parts that OMIB and the methods before it share.

    A modality that is missing tells nothing: its code is the prior, and the fusion leaves it out.

    Parameters
    ----------
    sample_shapes : dict of str to tuple of int
        Shape of one sample of each modality; the order is the order of tokens and branches.
    encoders : dict of str to (str, torch.nn.Module or callable)
        See :func:`~sklearn_omib.nn.encoders.build_encoder`.
    sparse : frozenset of str
        Names of the modalities that come as :class:`~sklearn_omib.nn.SparseBatch`.
    ragged : frozenset of str, default=frozenset()
        Names of those that come as :class:`~sklearn_omib.nn.encoders.SequenceBatch`.
    n_outputs : int
    hidden_dim, latent_dim, n_layers : int
    dropout : float
    n_heads : int, default=4
    fusion : str or callable, default="concat"
        A name of :data:`~sklearn_omib.nn.fusion.FUSIONS` or a class like those.
    code : {"gaussian", "plain"} or class, default="gaussian"
        How z_m becomes zeta_m: drawn, mapped linearly, or by a module of (width, latent_dim,
        stack).
    joint : {"gaussian"} or None, default=None
        A second bottleneck, behind the fusion.
    branches : {"encoding", "code", "encoding and xi"} or None, default=None
        What a prediction from each modality reads: z_m, zeta_m, [z_m, xi]; None for no such.
    pairing : callable or None, default=None
        Called with (n_modalities, latent_dim, stack), returns a module from the codes zeta,
        (batch, n_modalities, latent_dim), and their presence to a dict of penalties.
    input_dropout : float, default=0.0
    head_layers : int, default=2
        Linear maps in each branch and in the head.
    variance_head : bool, default=False
        Whether to predict the variance of the target too. How certain the target is, is
        information about it: xi is trained to keep that as well. PAPER-DIFF: the paper predicts
        no variance.
    stack : int or None, default=None
        Number of networks side by side: every tensor then has a first dimension for the network,
        and so have inputs and outputs. None is one network, without that dimension.
    """

    head_weights: Tensor | None

    def __init__(
        self,
        sample_shapes: Mapping[str, tuple[int, ...]],
        encoders: Mapping[str, str | nn.Module | Factory],
        sparse: Collection[str],
        n_outputs: int,
        *,
        hidden_dim: int,
        latent_dim: int,
        n_layers: int,
        dropout: float,
        n_heads: int = 4,
        ragged: Collection[str] = frozenset(),
        fusion: str | type[nn.Module] = "concat",
        code: str | type[nn.Module] = "gaussian",
        joint: str | None = None,
        branches: str | None = None,
        pairing: Callable[[int, int, int | None], nn.Module] | None = None,
        input_dropout: float = 0.0,
        head_layers: int = 2,
        variance_head: bool = False,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.names = tuple(sample_shapes)
        self.branch_input = branches
        # lists, not ModuleDicts: a modality may bear a name no module may ("a.b", "type")
        self.encoders = nn.ModuleList()
        branch_maps: list[nn.Module] = []
        bottlenecks, self.shapes = [], dict(sample_shapes)
        self.widths: list[int] = []  # of z_m
        for name, shape in sample_shapes.items():
            encoder, width = build_encoder(
                name,
                encoders[name],
                shape,
                name in sparse,
                is_ragged=name in ragged,
                hidden_dim=hidden_dim,
                n_layers=n_layers,
                dropout=dropout,
                input_dropout=input_dropout,
                stack=stack,
            )
            self.encoders.append(encoder)
            self.widths.append(width)
            if branches is not None:
                read = {"encoding": width, "code": latent_dim}.get(branches, width + latent_dim)
                branch_maps.append(mlp(read, hidden_dim, n_outputs, head_layers, dropout, stack))
            bottleneck = CODES[code] if isinstance(code, str) else code
            bottlenecks.append(bottleneck(width, latent_dim, stack))
        self.together = stack is not None and len({*self.widths}) == 1 and isinstance(code, str)
        self.bottlenecks = PerModality(bottlenecks, self.together)
        self.branches = PerModality(branch_maps, self.together and bool(branch_maps))
        self.fusion = make_fusion(fusion, len(self.names), latent_dim, n_heads, dropout, stack)
        self.joint = None if joint is None else CODES[joint](latent_dim, latent_dim, stack)
        self.head = mlp(latent_dim, hidden_dim, n_outputs, head_layers, dropout, stack)
        self.variance_head = linear(latent_dim, n_outputs, stack) if variance_head else None
        self.pairing = None if pairing is None else pairing(len(self.names), latent_dim, stack)
        # of the branches and, last, the fused prediction; None predicts from xi alone
        self.register_buffer("head_weights", None)
        self.generator: AnyGenerator = None

    def encode(self, inputs: Inputs) -> Encodings:
        """z_m = Enc_m(v_m) of every modality.

        Parameters
        ----------
        inputs : dict of str to Tensor or SparseBatch

        Returns
        -------
        list of n_modalities Tensors of shape (batch, width_m), or Tensor
            One tensor of shape (n_networks, n_modalities, batch, width) where networks side by
            side have encoders of one width.
        """
        z = list(self.encodings(inputs))
        return torch.stack(z, -3) if self.together else z

    def encodings(self, inputs: Inputs) -> Iterator[Tensor]:
        """z_m of one modality after the other, each of shape (batch, width_m)."""
        for name, encoder, width in zip(self.names, self.encoders, self.widths, strict=True):
            yield encoding(name, encoder, inputs[name], self.shapes[name], width)

    def compress(self, z: Encodings, present: Tensor | None = None) -> Code:
        """Codes of all modalities side by side (eq. 6).

        Parameters
        ----------
        z : encodings
        present : Tensor of shape (batch, n_modalities), default=None

        Returns
        -------
        Code
            Of tensors of shape (batch, n_modalities, latent_dim).
        """
        mu, sigma, zeta = self.bottlenecks(z)
        sigma = sigma if sigma is None else sigma.transpose(-2, -3)
        return Code(mu.transpose(-2, -3), sigma, zeta.transpose(-2, -3)).where(present)

    def fuse(
        self, z: Encodings, present: Tensor | None = None
    ) -> tuple[Code, Fused, Code | None, Tensor]:
        """Codes, their fusion (eq. 7), the joint code or None, and xi."""
        codes = self.compress(z, present)
        seen = self.seen_by_fusion(codes, present)
        if seen is None:
            fused = self.fusion(codes.zeta)
        else:
            fused = self.fusion(codes.zeta * seen.unsqueeze(-1), seen.sign())
        joint = None if self.joint is None else self.joint(fused.xi)
        return codes, fused, joint, fused.xi if joint is None else joint.zeta

    def seen_by_fusion(self, codes: Code, present: Tensor | None) -> Tensor | None:
        """What the fusion sees of each code, (batch, n_modalities): 0 for those missing."""
        return present

    def predict(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor | None]:
        """xi and yhat, which is from xi alone, as the paper predicts, or a sum of all heads'.

        Returns
        -------
        prediction : Tensor of shape (batch, n_outputs)
        xi : Tensor of shape (batch, latent_dim)
        log_variance : Tensor of shape (batch, n_outputs) or None
        """
        z, present = self.encode(inputs), presence(inputs)
        codes, _, _, xi = self.fuse(z, present)
        if self.head_weights is None:
            prediction = self.head(xi)
        else:
            heads = self._heads(z, codes.zeta, xi, present)
            prediction = (self.head_weights[..., None, None] * heads).sum(-3)
        return prediction, xi, self._log_variance(xi)

    def heads(self, inputs: Inputs) -> Tensor:
        """Predictions of the branches and, last, the fused: (n_branches + 1, batch, n_outputs)."""
        z, present = self.encode(inputs), presence(inputs)
        codes, _, _, xi = self.fuse(z, present)
        return self._heads(z, codes.zeta, xi, present)

    def _heads(self, z: Encodings, zeta: Tensor, xi: Tensor, present: Tensor | None) -> Tensor:
        """A branch whose modality is missing predicts what the fused prediction is."""
        fused = self.head(xi)
        heads = torch.cat([self.stacked_branches(z, zeta, xi), fused.unsqueeze(-3)], -3)
        if present is None:
            return heads
        here = torch.cat([present, torch.ones_like(present[..., :1])], -1).mT.unsqueeze(-1)
        return torch.where(here > 0, heads, fused.unsqueeze(-3))

    def _log_variance(self, xi: Tensor) -> Tensor | None:
        if self.variance_head is None:
            return None
        # bounded, or the variance would run to 0 or infinity away from the training data
        return MAX_LOG_VARIANCE * torch.tanh(self.variance_head(xi) / MAX_LOG_VARIANCE)

    def forward(self, inputs: Inputs) -> NetworkOutput:
        return self.respond(self.encode(inputs), presence(inputs))

    def without_xi(self, inputs: Inputs) -> NetworkOutput:
        """As forward, while there is no xi yet that a branch could read."""
        return self.forward(inputs)

    def respond(
        self,
        z: Encodings,
        present: Tensor | None = None,
        branches: tuple[Tensor, ...] | None = None,
    ) -> NetworkOutput:
        """The output for given z_m; ``branches`` are predictions made before."""
        codes, fused, joint, xi = self.fuse(z, present)
        penalties = dict(fused.penalties)
        if self.pairing is not None:
            penalties |= self.pairing(codes.zeta, present)
        if branches is None:
            branches = self.branch_out(z, codes.zeta, xi)
        return NetworkOutput(
            self.head(xi),
            branches,
            codes.mu,
            codes.sigma,
            xi,
            self._log_variance(xi),
            fused.attention,
            joint,
            penalties,
            present,
        )

    def branch_out(self, z: Encodings, zeta: Tensor, xi: Tensor) -> tuple[Tensor, ...]:
        """Predictions of the branches.

        Returns
        -------
        tuple of Tensors of shape (batch, n_outputs)
        """
        return self.stacked_branches(z, zeta, xi).unbind(-3) if self.branch_input else ()

    def stacked_branches(self, z: Encodings, zeta: Tensor, xi: Tensor) -> Tensor:
        """Predictions of the modalities' branches: (n_modalities, batch, n_outputs)."""
        if self.branch_input == "code":
            z = zeta.transpose(-2, -3)
            z = z if self.together else list(z.unbind(-3))
        if self.branch_input == "encoding and xi":
            z = self._with(z, xi.unsqueeze(-3).expand(*xi.shape[:-2], len(self.names), -1, -1))
        return self.branches(z)

    def _with(self, z: Encodings, more: Tensor) -> Encodings:
        """[z_m, more_m] of every modality; ``more`` is (..., n_modalities, batch, latent_dim)."""
        if torch.is_tensor(z):
            return torch.cat([z, more], -1)
        return [torch.cat(pair, -1) for pair in zip(z, more.unbind(-3), strict=True)]

    @property
    def n_branches(self) -> int:
        """How many predictions :meth:`branch_out` returns."""
        return len(self.names) if self.branch_input else 0

    def last_maps(self) -> list[nn.Module]:
        """The maps from the codes to the predictions, whose biases alone could make a constant."""
        maps = [self.branches, self.joint, self.head, getattr(self.fusion, "project", None)]
        return [part for part in maps if part is not None]


class OMIBNetwork(FusionNetwork):
    """v_m -> z_m -> zeta_m -> xi -> yhat, with a branch [z_m, xi] -> yhat_m per modality (fig. 2).

    Parameters
    ----------
    modality_dropout : float, default=0.0
        Share of codes zeta_m that the fusion does not see while training, of several modalities,
        as if they were missing. PAPER-DIFF: the paper hides none.
    **options
        Of :class:`FusionNetwork`, without ``code``, ``joint``, ``branches`` and ``pairing``.
    """

    def __init__(
        self,
        *args: Any,
        fusion: str | type[nn.Module] = "cross_attention",
        modality_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, fusion=fusion, branches="encoding and xi", **options)
        self.modality_dropout = Dropout(modality_dropout if len(self.names) > 1 else 0.0)

    def seen_by_fusion(self, codes: Code, present: Tensor | None) -> Tensor | None:
        if not (self.training and self.modality_dropout.p):
            return present
        kept = self.modality_dropout(codes.zeta.new_ones(codes.zeta.shape[:-1]))
        return kept if present is None else kept * present

    def warm_up(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Branch predictions from [z_m, e_m], e_m ~ N(0, I_k) in place of xi (Alg. 1).

        Returns
        -------
        tuple of n_modalities Tensors of shape (batch, n_outputs)
        """
        return self._branch_alone(self.encode(inputs))

    def without_xi(self, inputs: Inputs) -> NetworkOutput:
        z = self.encode(inputs)
        return self.respond(z, presence(inputs), self._branch_alone(z))

    def _branch_alone(self, z: Encodings) -> tuple[Tensor, ...]:
        like = z[0] if isinstance(z, list) else z.select(-3, 0)
        shape = *like.shape[:-2], len(self.names), like.shape[-2], self.latent_dim
        noise = standard_normal_like(like.new_empty(shape), self.generator)
        return self.branches(self._with(z, noise)).unbind(-3)
