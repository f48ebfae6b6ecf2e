"""Recordings as spectrograms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from math import gcd
from pathlib import Path, PurePath
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, signal
from scipy.io import wavfile
from torch import nn

from .._typing import Array, Block
from ..data.ragged import Ragged
from ..nn.pictures import Disturbed, ResNet18, SpectrogramCNN
from ._base import Encoder
from ._files import each, naming, needs

FILE_RATE = 16_000  # of files, where none is stated
LOWEST_POWER = 1e-10  # of a band, as silence has none
FRAMES_AT_ONCE = 4096  # of a long recording, so that memory is bounded
MOST_CHANNELS = 16
LOUD = 0.9  # quantile of the levels of steps that stands for the level of a recording
# Below that level, in nats of power: steps at the ends that are silence, and the least of a band,
# as what is quieter is of the microphone
SILENCE, QUIETEST = 4.0, 6.0
MARGIN = 0.03  # seconds that are kept of silence
WEIGHT_DECAY = 0.05
NETWORKS = {"cnn": SpectrogramCNN, "resnet18": ResNet18}


class AudioEncoder(Encoder):
    """Recordings of any length as log-mel spectrograms, read by a convolutional network.

    A recording is a path of a file, or an array (samples,), or (samples, channels) of which the
    mean is taken, the shorter axis being that of the channels. Many of one length may be one array
    (n_samples, samples).

    Parameters
    ----------
    sample_rate : int, default=None
        Samples per second. Files of another rate are resampled to it. Arrays do not tell theirs, so
        for them it must be given. None takes 16,000 for files; give the rate of the recordings
        where it is lower, or upper bands are empty.
    n_mels : int, default=40
        Bands of frequency, evenly spread on the mel scale from 0 to half the sample rate.
    window, hop : float, default=0.025 and 0.010
        Seconds that a step sees, and from one step to the next.
    max_seconds : float, default=None
        How much of the beginning of a recording is read; None is all.
    keep_level : bool, default=False
        Whether how loud a recording is may tell something. If not, all are brought to one level,
        which differs by microphone, distance and speaker: that of the loudest tenth of the steps.
        What is 26 decibels below it is silence then, of any microphone.
    trim : bool, default=True
        Whether silence at both ends, all 17 decibels below that level, is cut off.
    augment : bool, default=True
        Whether training sees recordings as others might have spoken or recorded them: shifted in
        frequency, with a floor of noise, and with gaps in frequency and time, each by chance.
    network : {"cnn", "resnet18"}, default="cnn"
        What reads spectrograms, trained from nothing: a small network that keeps apart what is of
        different frequency, or a residual one of 18 layers, which needs many recordings.
    learning_rate : float, default=2e-3
        At which the network is trained.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_mels,)
        Mean and standard deviation of each band over the steps that were learned from.

    Notes
    -----
    Files in wav format are read by SciPy; others (flac, ogg, mp3) need soundfile, ``pip install
    'sklearn-omib[audio]'``. Integers of up to 32 bits are divided by the largest of their type. A
    recording shorter than a window is filled up with silence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.encoders import AudioEncoder
    >>> seconds = np.arange(8000) / 8000
    >>> tones = [np.sin(2 * np.pi * 440 * seconds), np.sin(2 * np.pi * 880 * seconds[:4000])]
    >>> spectrograms = AudioEncoder(sample_rate=8000).fit_transform(tones)
    >>> spectrograms.lengths
    array([98, 48])
    >>> spectrograms.shape
    (2, 98, 40)
    """

    reads: ClassVar[tuple[str, ...]] = ("sound file", "sequence")
    dims: ClassVar[tuple[int, ...]] = (2,)
    standardize: ClassVar[bool] = False  # each band is by what is learned here
    trains_slowly: ClassVar[bool] = True

    def __init__(
        self,
        sample_rate: int | None = None,
        *,
        n_mels: int = 40,
        window: float = 0.025,
        hop: float = 0.010,
        max_seconds: float | None = None,
        keep_level: bool = False,
        trim: bool = True,
        augment: bool = True,
        network: str = "cnn",
        learning_rate: float = 2e-3,
    ) -> None:
        self.sample_rate = sample_rate
        self.n_mels = n_mels
        self.window = window
        self.hop = hop
        self.max_seconds = max_seconds
        self.keep_level = keep_level
        self.trim = trim
        self.augment = augment
        self.network = network
        self.learning_rate = learning_rate

    def _read(self, items: Block) -> Ragged:
        self._check()
        with warnings.catch_warnings():  # of the whole process, so not by the threads that read
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            return Ragged.of(each(self._spectrogram, items))

    def _check(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {sorted(NETWORKS)}, got {self.network!r}.")
        for name in ("sample_rate", "n_mels", "window", "hop", "max_seconds", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}.")
        rate = self.sample_rate or FILE_RATE
        if min(self.window, self.hop) * rate < 1:
            raise ValueError(
                f"window={self.window} and hop={self.hop} are seconds, and must be at least one "
                f"sample of {rate} per second."
            )

    def _spectrogram(self, item: Any) -> Array:
        """Log-mel spectrogram of one recording: (time, n_mels), float16."""
        rate = self.sample_rate or FILE_RATE
        if isinstance(item, (str, PurePath)):
            with naming(item):
                wave, found = _of_file(item, self.max_seconds)
            if self.sample_rate is None and found < rate:
                warnings.warn(
                    f"{str(item)!r} has {found} samples per second, less than the {rate} that "
                    f"files are resampled to, so that upper bands are empty; give sample_rate="
                    f"{found}.",
                    stacklevel=2,
                )
            wave = _resampled(wave, found, rate)
        elif self.sample_rate is None:
            raise ValueError(
                "is a recording as an array, which does not tell its samples per second; give "
                "AudioEncoder(sample_rate=)."
            )
        else:
            wave = _mono(np.asarray(item))
        if self.max_seconds is not None:
            wave = wave[: max(int(self.max_seconds * rate), 1)]
        if not np.isfinite(wave).all():
            raise ValueError("is a recording with NaN or infinite values.")
        if not self.keep_level:  # what counts as silence is by the level too
            wave = wave / (np.abs(wave).max(initial=0) or 1)
        width, step = round(self.window * rate), round(self.hop * rate)
        bands = log_mel(wave, rate, width, step, self.n_mels)
        levels = bands.mean(1)
        level = np.sort(levels)[int(LOUD * len(bands))]
        if self.trim:
            heard = np.flatnonzero(levels > level - SILENCE)
            margin = round(MARGIN / self.hop)
            bands = bands[max(heard[0] - margin, 0) : heard[-1] + margin + 1]
        if not self.keep_level:
            bands = np.maximum(bands - level, -QUIETEST)
        return bands.astype(np.float16)

    def _learn(self, features: Block, y: Array | None) -> None:
        steps = features.compact().values.astype(np.float32)
        self.mean_ = steps.mean(0, dtype=np.float64).astype(np.float32)
        deviation = steps.std(0, dtype=np.float64)
        # a band that never changes, of recordings that were of a lower rate, stays without a voice
        self.scale_ = np.where(deviation > 1e-2, deviation, 1).astype(np.float32)

    def _convert(self, features: Block) -> Ragged:
        def normalised(values: Array) -> Array:
            return ((values - self.mean_) / self.scale_).astype(np.float16)

        return features.mapped(normalised)

    def module(self, shape: tuple[int, ...], hidden_dim: int) -> nn.Module:
        """The network that reads spectrograms of shape (time, n_mels)."""
        network: Any = NETWORKS[self.network](shape, hidden_dim)
        # read by the optimiser
        network.learning_rate, network.weight_decay = self.learning_rate, WEIGHT_DECAY
        return nn.Sequential(Disturbed(), network) if self.augment else network


# -- recordings -----------------------------------------------------------------------------
def _of_file(path: str | PurePath, max_seconds: float | None) -> tuple[Array, int]:
    """The recording in a file, one value for each sample, and its rate."""
    if Path(path).suffix.lower() == ".wav":
        rate, values = wavfile.read(path)
        end = None if max_seconds is None else max(int(max_seconds * rate), 1)
        return _mono(values[:end], channels_last=True), rate
    try:
        import soundfile
    except ImportError as error:
        raise needs("soundfile", f"Reading {path}", "audio") from error
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        n_samples = -1 if max_seconds is None else max(int(max_seconds * rate), 1)
        return _mono(file.read(n_samples, dtype="float32"), channels_last=True), rate


def _mono(values: Array, channels_last: bool = False) -> Array:
    """One value for each sample, float32, about between -1 and 1."""
    if values.ndim == 2:
        channels = 1 if channels_last or values.shape[1] <= values.shape[0] else 0
        if values.shape[channels] > MOST_CHANNELS and not channels_last:
            raise ValueError(
                f"is an array of shape {values.shape}; a recording is (samples,) or (samples, "
                "channels)."
            )
    elif values.ndim != 1:
        raise ValueError(
            f"is an array of {values.ndim} dimensions; a recording is (samples,) or (samples, "
            "channels)."
        )
    if values.dtype.kind not in "biuf":
        raise TypeError(f"is an array of {values.dtype}, which is no recording.")
    scaled = values.astype(np.float32)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4:
        largest = np.float32(2 ** (8 * values.dtype.itemsize - 1))
        scaled = scaled / largest - (values.dtype.kind == "u")
    return scaled.mean(channels) if values.ndim == 2 else scaled


def _resampled(wave: Array, rate: int, wanted: int) -> Array:
    if rate == wanted or not len(wave):
        return wave
    common = gcd(rate, wanted)
    return signal.resample_poly(wave, wanted // common, rate // common).astype(np.float32)


# -- spectrograms ---------------------------------------------------------------------------
def log_mel(wave: Array, rate: int, width: int, step: int, n_mels: int) -> Array:
    """Logarithm of the power in bands of frequency.

    Parameters
    ----------
    wave : ndarray of shape (n_samples,)
    rate : int
        Samples per second.
    width, step : int
        Samples of a window, and from one to the next.
    n_mels : int

    Returns
    -------
    ndarray of shape (time, n_mels), float32
    """
    filters, n_fft = mel_filters(rate, width, n_mels)
    shape = np.hanning(width + 2)[1:-1].astype(np.float32)
    wave = np.pad(wave, (0, max(width - len(wave), 0)))
    frames = sliding_window_view(wave, width)[::step]
    bands: Sequence[Array] = [
        _power(frames[start : start + FRAMES_AT_ONCE] * shape, n_fft) @ filters
        for start in range(0, len(frames), FRAMES_AT_ONCE)
    ]
    return np.log(np.concatenate(bands) / np.square(shape).sum() + np.float32(LOWEST_POWER))


def _power(frames: Array, n_fft: int) -> Array:
    spectrum = fft.rfft(frames, n_fft)
    return np.square(spectrum.real) + np.square(spectrum.imag)


@cache
def mel_filters(rate: int, width: int, n_mels: int) -> tuple[Array, int]:
    """Triangles on the mel scale, (n_frequencies, n_mels), and the length of the transform."""
    edges = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), n_mels + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    n_fft = fft.next_fast_len(width, real=True)
    while True:
        frequencies = fft.rfftfreq(n_fft, 1 / rate)[:, None]
        rising = (frequencies - edges[:-2]) / np.diff(edges)[:-1]
        falling = (edges[2:] - frequencies) / np.diff(edges)[1:]
        filters = np.minimum(rising, falling).clip(0)
        if filters.any(0).all():
            return filters.astype(np.float32), n_fft
        n_fft *= 2  # a narrow band, between two frequencies
