"""AdamW with clipped gradients, for one network and for a stack of them."""

import torch
from torch.linalg import vector_norm as _norm

MAX_GRAD_NORM = 5.0


class FlatAdamW(torch.optim.AdamW):
    """AdamW on the parameters of one network laid end to end in one tensor.

    Forty small tensors cost an optimiser hundreds of kernel launches a step, one long tensor a
    handful. While attached, the parameters are views of that tensor; detached they own their
    memory, as pickling and copying expect.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Those without a part in the first loss are left alone, as torch's optimisers do.
    lr, weight_decay : float
    """

    def __init__(self, parameters, lr, weight_decay):
        self.parameters = list(parameters)
        self._gradients: list = []  # views of the flat gradient while attached
        flat = _join(self.parameters)
        super().__init__([flat], lr, weight_decay=weight_decay, fused=_can_fuse(flat))

    def __getstate__(self):
        return {**super().__getstate__(), "parameters": self.parameters, "_gradients": []}

    @property
    def flat(self):
        """The parameters as one tensor of shape (n_parameters,)."""
        return self.param_groups[0]["params"][0]

    def descend(self, loss, average=None):
        """Make one step down a loss.

        Parameters
        ----------
        loss : Tensor of shape ()
        average : callable, default=None
            Replaces the flat gradient, in place, by its mean over processes.
        """
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=not self.state)
        if not self._gradients:
            gradients = self._attach(gradients)
        torch._foreach_copy_(self._gradients, list(gradients))
        gradient = self.flat.grad
        if average is not None:
            average(gradient)
        gradient.mul_(_clip(_norm(gradient)))
        self.step()

    def _attach(self, gradients):
        """Make the parameters views of the flat tensor; before the first step drop the unused."""
        self.parameters, gradients = _used(self.parameters, gradients)
        flat = _join(self.parameters)
        if self.state:
            self.flat.data.copy_(flat)
        else:
            self.param_groups[0]["params"] = [flat]
        for parameter, part in zip(self.parameters, self._views(self.flat.data), strict=True):
            parameter.data = part
        self.flat.grad = torch.zeros_like(self.flat)
        self._gradients = self._views(self.flat.grad)
        return gradients

    def _views(self, flat):
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def detach(self):
        """Give the parameters memory of their own again."""
        if self._gradients:
            self.flat.grad, self._gradients = None, []
            for parameter in self.parameters:
                parameter.data = parameter.data.clone()


class StackedAdamW(torch.optim.AdamW):
    """AdamW for stacked networks, each with its own gradient norm.

    Their tensors are large enough to be left where they are.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter of shape (n_networks, ...)
    lr, weight_decay : float
    """

    def __init__(self, parameters, lr, weight_decay):
        self.parameters = list(parameters)
        fused = _can_fuse(self.parameters[0])
        super().__init__(self.parameters, lr, weight_decay=weight_decay, fused=fused)

    def descend(self, loss):
        """Make one step down each loss.

        Parameters
        ----------
        loss : Tensor of shape (n_networks,)
        """
        gradients = torch.autograd.grad(loss.sum(), self.parameters, allow_unused=not self.state)
        if not self.state:
            self.parameters, gradients = _used(self.parameters, gradients)
        # the fused kernel is wrong where a gradient lies otherwise than its parameter (torch 2.13)
        contiguous = [gradient.contiguous() for gradient in gradients]
        norms = [_norm(gradient.view(len(gradient), -1), dim=1) for gradient in contiguous]
        factor = _clip(_norm(torch.stack(norms), dim=0))
        clipped = factor.device.type != "cpu" or bool((factor < 1).any())  # no waiting for a GPU
        for parameter, gradient in zip(self.parameters, contiguous, strict=True):
            if clipped:
                gradient = gradient * factor.view(-1, *[1] * (gradient.ndim - 1))
            parameter.grad = gradient
        self.step()
        self.zero_grad()

    def keep(self, rows):
        """Go on with some of the networks.

        Parameters
        ----------
        rows : Tensor of shape (n_kept,), int64
        """
        for parameter in self.param_groups[0]["params"]:
            parameter.data = parameter.data[rows]
            state = self.state.get(parameter, {})
            for name in state.keys() & {"exp_avg", "exp_avg_sq"}:
                state[name] = state[name][rows]


def _can_fuse(parameter):
    return parameter.device.type in ("cpu", "cuda")


def _join(parameters):
    return torch.nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))


def _used(parameters, gradients):
    pairs = [pair for pair in zip(parameters, gradients, strict=True) if pair[1] is not None]
    return [parameter for parameter, _ in pairs], [gradient for _, gradient in pairs]


def _clip(norm):
    return (MAX_GRAD_NORM / (norm + 1e-6)).clamp_max(1.0)
