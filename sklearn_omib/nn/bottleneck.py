"""The variational bottleneck VAE_m: z_m -> N(mu_m, diag sigma_m^2) (eq. 6)."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from .layers import linear
from .random import AnyGenerator, standard_normal_like

MIN_SIGMA = 1e-6  # keeps ln sigma finite


class Code(NamedTuple):
    """The code of one batch.

    Attributes
    ----------
    mu : Tensor of shape (batch, latent_dim)
        Its mean.
    sigma : Tensor of shape (batch, latent_dim) or None
        Its standard deviation; None where the code is not drawn.
    zeta : Tensor of shape (batch, latent_dim)
        A draw while training, the mean otherwise.
    """

    mu: Tensor
    sigma: Tensor | None
    zeta: Tensor

    def where(self, present: Tensor | None) -> "Code":
        """The code of modalities that may be missing: the prior N(0, I), and nothing drawn.

        Parameters
        ----------
        present : Tensor of shape (batch,), or None
            1, and 0 where the modality is missing; None where none is.
        """
        if present is None:
            return self
        here = present.unsqueeze(-1)
        sigma = None if self.sigma is None else self.sigma * here + (1 - here)
        return Code(self.mu * here, sigma, self.zeta * here)


class VariationalBottleneck(nn.Module):
    """zeta = mu(z) + sigma(z) * epsilon, epsilon ~ N(0, I) (eq. 6).

    PAPER-DIFF: the text calls Sigma a k x k variance, but eq. 6 multiplies the noise by it, so it
    is taken as a diagonal standard deviation, sigma = softplus(s) + 1e-6. mu and s are linear in
    z, not two-layer networks: the encoder is nonlinear already, and cross-validation saw no gain.

    Parameters
    ----------
    input_dim : int
        Width of z.
    latent_dim : int
        Width k of the code.
    stack : int or None, default=None
        Number of networks side by side.
    """

    def __init__(self, input_dim: int, latent_dim: int, stack: int | None = None) -> None:
        super().__init__()
        self.heads = linear(input_dim, 2 * latent_dim, stack)
        self.generator: AnyGenerator = None

    def forward(self, z: Tensor) -> Code:
        mu, s = self.heads(z).chunk(2, -1)
        sigma = F.softplus(s) + MIN_SIGMA
        if not self.training:
            return Code(mu, sigma, mu)
        return Code(mu, sigma, mu + sigma * standard_normal_like(mu, self.generator))


class Projection(nn.Module):
    """zeta = W z + b: a code without noise, the limit sigma = 0 of :class:`VariationalBottleneck`.

    Parameters
    ----------
    input_dim, latent_dim : int
    stack : int or None, default=None
    """

    def __init__(self, input_dim: int, latent_dim: int, stack: int | None = None) -> None:
        super().__init__()
        self.heads = linear(input_dim, latent_dim, stack)

    def forward(self, z: Tensor) -> Code:
        zeta = self.heads(z)
        return Code(zeta, None, zeta)


def gaussian_kl(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL(N(mu, diag sigma^2) || N(0, I)) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - ln sigma_j^2).

    Parameters
    ----------
    mu, sigma : Tensor of shape (..., latent_dim)

    Returns
    -------
    Tensor of shape (...)
        In nats, summed over the latent dimensions (eq. 10).
    """
    return 0.5 * (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(-1)
