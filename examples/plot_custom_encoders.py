"""
Custom encoders: a GRU on sequences beside an MLP
=================================================

Every modality can have an encoder of its own: a built-in one by name, a torch module, or a
factory that is told the shape of a sample. Here a sensor is read as a sequence by a recurrent
network of our own while a record of plain numbers takes the default MLP.
"""

# %%
# A target that needs both
# ------------------------
# The sensor swings fast or slowly, at a phase of its own; the record holds a load. Fast swings and
# a high load raise the alarm, and either can make up for the other.
import numpy as np
import torch
from sklearn.model_selection import train_test_split

from sklearn_omib import ModalityDict, OMIBClassifier

rng = np.random.default_rng(0)
n_samples, time = 800, 40
fast = rng.integers(0, 2, n_samples)
frequency = np.where(fast, 0.9, 0.5)[:, None]
phase = rng.uniform(0, 2 * np.pi, (n_samples, 1))
sensor = np.sin(frequency * np.arange(time) + phase) + 0.5 * rng.normal(size=(n_samples, time))
record = rng.normal(size=(n_samples, 6))
y = np.where(2 * fast - 1 + record[:, 0] > 0, "alarm", "normal")
X = ModalityDict({"sensor": sensor[:, :, None], "record": record})
print(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# An encoder is a module from (batch, ...) to (batch, any width)
# ---------------------------------------------------------------


class LastState(torch.nn.Module):
    """The last hidden state of a GRU."""

    def __init__(self, sample_shape):
        super().__init__()
        self.gru = torch.nn.GRU(sample_shape[1], 24, batch_first=True)

    def forward(self, v):
        return self.gru(v)[1][0]


encoders = {
    "our own GRU": {"sensor": LastState},
    "built-in GRU": {"sensor": "gru"},
    "built-in convolution (default)": "mlp",
    "flattened, MLP": {"sensor": "mlp"},
}
# one network of each, not the mean of five
options = {"n_members": 1, "hidden_dim": 48, "learning_rate": 3e-3, "n_iter_no_change": 30}
scores = {}
for name, choice in encoders.items():
    clf = OMIBClassifier(encoders=choice, random_state=0, **options).fit(X_train, y_train)
    scores[name] = clf.score(X_test, y_test)
    print(f"{name:32s} test accuracy {scores[name]:.3f}")

# %%
# Neither modality knows the whole answer alone.
for name in X:
    alone = OMIBClassifier(random_state=0, **options).fit(X_train.select(name), y_train)
    print(f"{name + ' alone':32s} test accuracy {alone.score(X_test.select(name), y_test):.3f}")
