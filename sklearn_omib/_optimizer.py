"""AdamW on all parameters at once, for one network or for a stack of them."""

import torch

MAX_GRAD_NORM = 5.0


class FlatAdamW(torch.optim.AdamW):
    """AdamW with clipped gradients on parameters laid end to end in one tensor.

    The forty small tensors of a network cost an optimiser hundreds of kernel launches a step, one
    long tensor a handful. While attached, the parameters are views of that tensor; detached they
    own their memory, as pickling and copying expect.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Of shape (n_networks, ...) each where networks are stacked. Those without a part in the
        first loss are left alone, as torch's optimisers do.
    lr, weight_decay : float
    n_networks : int, default=None
        Number of stacked networks, whose gradients are clipped one by one; None for one network.
    """

    def __init__(self, parameters, lr, weight_decay, n_networks=None):
        self.parameters = list(parameters)
        self.lead = () if n_networks is None else (n_networks,)
        self._gradients: list = []  # views of the flat gradient while attached
        flat = torch.nn.Parameter(self._join(self.parameters).detach())
        fused = flat.device.type in ("cpu", "cuda")
        super().__init__([flat], lr=lr, weight_decay=weight_decay, fused=fused)

    def __getstate__(self):
        own = {"parameters": self.parameters, "lead": self.lead, "_gradients": []}
        return {**super().__getstate__(), **own}

    @property
    def flat(self):
        """The parameters as one tensor of shape (n_parameters,) or (n_networks, n_parameters)."""
        return self.param_groups[0]["params"][0]

    def _join(self, tensors):
        return torch.cat([tensor.reshape(*self.lead, -1) for tensor in tensors], -1)

    def descend(self, loss, average=None):
        """Make one step down a loss, or down that of each of the stacked networks.

        Parameters
        ----------
        loss : Tensor of shape () or (n_networks,)
        average : callable, default=None
            Replaces the flat gradient, in place, by its mean over processes.
        """
        gradients = torch.autograd.grad(
            loss.sum() if self.lead else loss, self.parameters, allow_unused=not self.state
        )
        if not self._gradients:
            gradients = self._attach(gradients)
        torch._foreach_copy_(self._gradients, list(gradients))
        gradient = self.flat.grad
        if average is not None:
            average(gradient)
        norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        gradient.mul_((MAX_GRAD_NORM / (norm + 1e-6)).clamp_max(1.0))
        self.step()

    def _attach(self, gradients):
        """Make the parameters views of the flat tensor; before the first step drop the unused."""
        used = [i for i, gradient in enumerate(gradients) if gradient is not None]
        self.parameters = [self.parameters[i] for i in used]
        flat = self._join(self.parameters).detach()
        if self.state:
            self.flat.data.copy_(flat)
        else:
            self.param_groups[0]["params"] = [torch.nn.Parameter(flat)]
        for parameter, part in zip(self.parameters, self._views(self.flat.data), strict=True):
            parameter.data = part
        self.flat.grad = torch.zeros_like(self.flat)
        self._gradients = self._views(self.flat.grad)
        return [gradients[i] for i in used]

    def _views(self, flat):
        """Cut a tensor laid out as the flat one into the shapes of the parameters."""
        sizes = [parameter.numel() // max(self.lead, default=1) for parameter in self.parameters]
        parts = zip(flat.split(sizes, -1), self.parameters, strict=True)
        return [part.view(parameter.shape) for part, parameter in parts]

    def detach(self):
        """Give the parameters memory of their own again."""
        if not self._gradients:
            return
        self.flat.grad, self._gradients = None, []
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
