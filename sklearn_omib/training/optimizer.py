"""AdamW with clipped gradients, for networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..nn.stacking import copies, owners

MAX_GRAD_NORM = 5.0
BETAS, EPS = (0.9, 0.999), 1e-8
WARM_UP_SHARE = 0.1  # of the planned steps, over which the rates rise


def _own_rates(module: nn.Module, weight_decay: float) -> dict[nn.Parameter, tuple[float, float]]:
    """Rate and weight decay of parameters that have their own, by what they belong to."""
    found: dict[nn.Parameter, tuple[float, float]] = {}
    for part in module.modules():  # parts come after what they belong to
        if (rate := getattr(part, "learning_rate", None)) is not None:
            rates = float(rate), float(getattr(part, "weight_decay", weight_decay))
            found |= dict.fromkeys(part.parameters(), rates)
    return found


class StackedAdamW:
    """AdamW for networks side by side, each with a gradient norm of its own.

    Torch's fused kernel is called without the class around it, whose import takes a second.

    Parameters
    ----------
    module : torch.nn.Module
        Parameters without a part in the first loss are left alone, as torch's optimisers do. Parts
        of a user's module, or of an encoder, that have attributes ``learning_rate`` and
        ``weight_decay`` are trained at these: layers that were trained before, at a smaller rate.
    lr, weight_decay : float
    moments : StackedAdamW, default=None
        One that has been detached, to go on with its moments.
    """

    steps: torch.Tensor  # how many there have been, once there are moments
    n_steps: int | None = None  # that are planned: the rate rises over the first, and falls to 0

    def __init__(
        self,
        module: nn.Module,
        lr: float,
        weight_decay: float,
        moments: StackedAdamW | None = None,
    ) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self.state: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._find(module)
        if moments is not None:
            self._restrict(moments.used)
            self.state, self.steps = moments.state, moments.steps

    @classmethod
    def of(
        cls,
        used: Iterable[int],
        state: Iterable[tuple[torch.Tensor, torch.Tensor]],
        steps: torch.Tensor,
    ) -> StackedAdamW:
        """The moments of one that has been detached, from its parts."""
        moments = cls.__new__(cls)
        moments.used, moments.state, moments.steps = list(used), list(state), steps
        return moments

    def _find(self, module: nn.Module) -> None:
        """Parameters of all networks together, then of each network alone."""
        stacked = [p for o in owners(module) for p in o._parameters.values() if p is not None]
        own: dict[nn.Parameter, int] = {}  # a parameter in two places is one
        for part in copies(module):
            for k, network in enumerate(part.networks):
                own |= {p: k for p in network.parameters() if p.requires_grad}
        self.parameters: list[torch.Tensor] = [*stacked, *own]
        self.network: list[int | None] = [*[None] * len(stacked), *own.values()]
        special: dict[Any, tuple[float, float]] = dict(_own_rates(module, self.weight_decay))
        usual = self.lr, self.weight_decay
        self.rates = [special.get(p, usual) for p in self.parameters]

    @property
    def has_own_rates(self) -> bool:
        """Whether some layers have a rate of their own."""
        return len(set(self.rates)) > 1

    def descend(
        self, loss: torch.Tensor, average: Callable[[list[torch.Tensor]], None] | None = None
    ) -> None:
        """Make one step down each loss.

        Parameters
        ----------
        loss : Tensor of shape (n_networks,)
        average : callable, default=None
            Replaces gradients, in place, by their means over processes.
        """
        found: Sequence[torch.Tensor | None]  # None: no part in the loss
        found = torch.autograd.grad(loss.sum(), self.parameters, allow_unused=True)
        if not self.state:
            self._begin(found)
            found = [gradient for gradient in found if gradient is not None]
        # the fused kernel is wrong where a gradient lies otherwise than its parameter (torch 2.13)
        gradients = [
            torch.zeros_like(p) if g is None else g.contiguous()
            for p, g in zip(self.parameters, found, strict=True)
        ]
        if average is not None:
            average(gradients)
        self._clip(gradients, len(loss))
        self.steps += 1
        factor = self._factor()
        with torch.no_grad():
            for rates in dict.fromkeys(self.rates):
                self._descend(gradients, rates, factor)

    def _descend(
        self, gradients: list[torch.Tensor], rates: tuple[float, float], factor: float
    ) -> None:
        """Move the parameters that have some rates."""
        own = [i for i, other in enumerate(self.rates) if other == rates]
        first, second = ([self.state[i][part] for i in own] for part in range(2))
        torch._fused_adamw_(
            [self.parameters[i] for i in own], [gradients[i] for i in own], first, second, [],
            len(own) * [self.steps], lr=factor * rates[0], beta1=BETAS[0], beta2=BETAS[1],
            weight_decay=rates[1], eps=EPS, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _factor(self) -> float:
        """Of the rates, at this step of those planned."""
        if self.n_steps is None:
            return 1.0
        step, rise = int(self.steps) - 1, max(WARM_UP_SHARE * self.n_steps, 1)
        return min((step + 1) / rise, max(1 - step / self.n_steps, 0.0))

    def _begin(self, gradients: Sequence[torch.Tensor | None]) -> None:
        self._restrict([i for i, gradient in enumerate(gradients) if gradient is not None])
        self.state = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)

    def _restrict(self, used: list[int]) -> None:
        self.used = used  # of all parameters of the module
        self.parameters = [self.parameters[i] for i in used]
        self.network = [self.network[i] for i in used]
        self.rates = [self.rates[i] for i in used]

    def move(self, device: torch.device) -> None:
        """Bring the moments to another device."""
        self.state = [(first.to(device), second.to(device)) for first, second in self.state]
        self.steps = self.steps.to(device)

    def detached(self) -> StackedAdamW:
        """Leave the parameters, for another module of the same structure to go on."""
        self.parameters = []
        return self

    def _clip(self, gradients: list[torch.Tensor], n_networks: int) -> None:
        """Scale gradients down where those of a network are longer than allowed."""
        stacked = [g for g, k in zip(gradients, self.network, strict=True) if k is None]
        own = [(g, k) for g, k in zip(gradients, self.network, strict=True) if k is not None]
        norms = [torch.linalg.vector_norm(g.view(n_networks, -1), dim=1) for g in stacked]
        if own:
            each = gradients[0].new_zeros(len(own), n_networks)
            each[range(len(own)), [k for _, k in own]] = torch.stack([g.norm() for g, _ in own])
            norms.extend(each)
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        factor = (MAX_GRAD_NORM / (norm + 1e-6)).clamp_max(1.0)
        if factor.device.type == "cpu" and not bool((factor < 1).any()):  # no waiting for a GPU
            return
        for i, (gradient, k) in enumerate(zip(gradients, self.network, strict=True)):
            own_factor = factor.view(-1, *[1] * (gradient.ndim - 1)) if k is None else factor[k]
            gradients[i] = gradient * own_factor  # not in place: two may be one tensor

    def keep(self, module: nn.Module, rows: list[int]) -> None:
        """Go on with some networks, of which the module has been left with those already.

        Parameters
        ----------
        module : torch.nn.Module
        rows : list of int
            Where its networks were.
        """
        kept: dict[torch.Tensor, tuple[torch.Tensor, torch.Tensor]] = {}
        for parameter, k, state in zip(self.parameters, self.network, self.state, strict=True):
            if k is None:
                kept[parameter] = state[0][rows], state[1][rows]
            elif k in rows:
                kept[parameter] = state
        self._find(module)
        self._restrict([i for i, parameter in enumerate(self.parameters) if parameter in kept])
        self.state = [kept[p] for p in self.parameters]
