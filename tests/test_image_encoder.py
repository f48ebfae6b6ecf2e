"""Laws of the encoder of pictures."""

import gc
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from sklearn_omib.data.raw import as_items
from sklearn_omib.encoders import ImageEncoder
from sklearn_omib.encoders._embeddings import Embeddings
from sklearn_omib.encoders._pixels import Form, last_are_channels
from sklearn_omib.nn import Pixels, ResNet18, set_generator

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.integers(256, size=shape, dtype=np.uint8)


def smooth(height, width):
    """A picture that is much the same at any size."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    return np.rint(255 * np.stack([x, y, 1 - x], -1)).astype(np.uint8)


class Tiny(nn.Module):
    """A network whose answer is a map of features."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
            for _ in range(3)
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


class Tangled(Tiny):
    def forward(self, x):
        x = self.stem(x)
        return x + self.blocks[2](self.blocks[0](x))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny()


# -- arrays -------------------------------------------------------------------------------
def test_layouts_and_kinds_of_numbers_give_the_same_pixels():
    last = drawn(4, 8, 8, 3)
    wanted = ImageEncoder(size=8).read(last)
    assert wanted.dtype == np.uint8 and wanted.shape == (4, 3, 8, 8)
    for same in (last.transpose(0, 3, 1, 2), last / 255, last.astype(np.int64), as_items(last)):
        assert_array_equal(ImageEncoder(size=8).read(same), wanted)
    assert_array_equal(wanted[:, 0], last[..., 0])


def test_grey_pictures_have_three_equal_channels():
    grey = drawn(4, 8, 8)
    pixels = ImageEncoder(size=8).read(grey)
    for channel in range(3):
        assert_array_equal(pixels[:, channel], grey)
    assert_array_equal(ImageEncoder(size=8).read(grey[..., None]), pixels)


@pytest.mark.parametrize("shape", [(3, 9, 3), (1, 1, 3), (5, 6, 7)])
def test_an_ambiguous_layout_is_never_guessed(shape):
    with pytest.raises(ValueError, match="layout='channels_last'"):
        last_are_channels(shape, "auto")
    assert last_are_channels(shape, "channels_last")


def test_the_layout_can_be_stated():
    pictures = drawn(2, 3, 9, 3)
    first = ImageEncoder(size=3, layout="channels_first")
    last = ImageEncoder(size=3, layout="channels_last")
    pytest.importorskip("PIL")
    assert not np.array_equal(first.read(pictures), last.read(pictures))
    with pytest.raises(ValueError, match=r"row 0: .*layout="):
        ImageEncoder().read(pictures)


@pytest.mark.parametrize("wrong, said", [
    (np.full((8, 8, 3), 3.0), r"row 1: .*floats must lie in \[0, 1\]"),
    (np.full((8, 8), -4), r"row 1: .*integers in \[0, 255\]"),
    (np.full((8, 8, 8, 3), 0.5), r"row 1: .*a picture is"),
])  # fmt: skip
def test_what_is_no_picture_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        ImageEncoder(size=8).read(as_items([drawn(8, 8, 3), wrong]))


def test_parameters_are_checked():
    pictures = drawn(2, 8, 8, 3)
    for wrong in (
        {"layout": "last"}, {"size": 0}, {"network": "vgg"}, {"trainable_layers": -1},
        {"trainable_layers": 1}, {"augment": True, "model": nn.Flatten()},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ImageEncoder(**{"size": 8, **wrong}).read(pictures)


# -- files --------------------------------------------------------------------------------
def test_files_pictures_and_arrays_are_read_alike(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    arrays = [drawn(8, 8, 3) for _ in range(20)]
    pictures = [Image.fromarray(array) for array in arrays]
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    encoder = ImageEncoder(size=8)
    wanted = encoder.read(as_items(arrays))
    assert_array_equal(encoder.read(paths), wanted)
    assert_array_equal(encoder.read([str(path) for path in paths]), wanted)
    assert_array_equal(encoder.read(as_items(pictures)), wanted)
    one = encoder.read(as_items([paths[0], None, paths[2]]))
    assert_array_equal(one[[0, 2]], wanted[[0, 2]])
    assert np.isnan(one[1]).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_of_colours_is_read(tmp_path, mode):
    Image = pytest.importorskip("PIL.Image")
    path = tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}"
    if mode == "I;16":
        Image.fromarray(np.full((4, 4), 128 * 257, dtype=np.uint16)).save(path)
    else:
        Image.fromarray(np.full((4, 4, 3), 128, dtype=np.uint8)).convert(mode).save(path)
    pixels = ImageEncoder(size=4).read([path])
    assert pixels.shape == (1, 3, 4, 4)
    if mode not in ("1", "P"):  # few colours, dithered
        assert_allclose(pixels, 128, atol=2)


def test_transparent_is_white_and_cameras_say_what_is_up(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (ImageEncoder(size=4).read([tmp_path / "a.png"]) == 255).all()
    picture = Image.fromarray(smooth(16, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    picture.save(tmp_path / "b.jpg", exif=exif, quality=95)
    turned = ImageEncoder(size=16).read([tmp_path / "b.jpg"])[0]
    assert_allclose(turned, smooth(16, 16)[::-1, ::-1].transpose(2, 0, 1), atol=20)


def test_pictures_of_any_size_down_to_a_pixel(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    sizes = [(1, 1), (1, 300), (200, 3), (64, 64), (500, 400)]
    pictures = [Image.fromarray(drawn(*size, 3)) for size in sizes]
    assert ImageEncoder().read(as_items(pictures)).shape == (5, 3, 64, 64)
    small, large = (
        ImageEncoder(size=32).read(as_items([smooth(*s)])) for s in [(64, 80), (90, 50)]
    )
    assert_allclose(small, large, atol=12)


@pytest.mark.parametrize("contents, kind", [
    (b"", OSError), (b"no picture", OSError), (None, FileNotFoundError),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_its_row(tmp_path, contents, kind):
    Image = pytest.importorskip("PIL.Image")
    Image.fromarray(drawn(4, 4, 3)).save(tmp_path / "good.png")
    if contents is not None:
        (tmp_path / "bad.png").write_bytes(contents)
    items = as_items([tmp_path / "good.png", None, tmp_path / "bad.png"])
    with pytest.raises(kind, match=r"row 2: .*bad\.png"):
        ImageEncoder().read(items)


def test_a_file_that_was_cut_off_is_an_error(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.png"
    Image.fromarray(drawn(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(OSError, match=r"row 0: .*a\.png"):
        ImageEncoder().read([path])


def test_files_are_never_all_held(tmp_path, monkeypatch):
    Image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.png"
    Image.fromarray(drawn(4, 4, 3)).save(path)
    begun = []
    opened = Image.open
    monkeypatch.setattr(Image, "open", lambda name: begun.append(name) or opened(name))
    pictures = ImageEncoder()._pictures(as_items([path] * 100), Form(4, 4))
    next(pictures)
    assert len(begun) < 25
    pictures.close()
    gc.collect()
    assert len(begun) < 25


def test_without_pillow_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-omib\[images\]'"):
        ImageEncoder().read([tmp_path / "a.png"])


# -- without a model ----------------------------------------------------------------------
@pytest.mark.parametrize("network", ["conv2d", "resnet18"])
def test_what_is_trained_without_a_model(network):
    encoder = ImageEncoder(size=16, network=network, augment=True)
    pixels = torch.from_numpy(encoder.fit_transform(drawn(4, 16, 16, 3)))
    module = encoder.module((3, 16, 16), 8)
    assert module(pixels).shape == (4, 8)
    module.eval()
    torch.testing.assert_close(module(pixels)[:2], module(pixels[:2]), rtol=1e-4, atol=1e-5)


def test_pictures_are_changed_by_chance_in_training_only():
    v = torch.from_numpy(drawn(6, 3, 16, 16))
    augment = Pixels(augment=True)
    plain = Pixels()(v)
    set_generator(augment, torch.Generator().manual_seed(0))
    first = augment(v)
    set_generator(augment, torch.Generator().manual_seed(0))
    torch.testing.assert_close(augment(v), first)
    assert not torch.allclose(first, plain) and first.shape == plain.shape
    torch.testing.assert_close(augment.eval()(v), plain)


def test_a_residual_network_has_as_many_weights_as_in_its_paper():
    network = ResNet18((3, 64, 64), 1000)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512


# -- with a module ------------------------------------------------------------------------
def test_embeddings_of_a_module_are_what_it_returns(tiny):
    pictures = drawn(5, 16, 16, 3)
    encoder = ImageEncoder(tiny, size=16, pixel_mean=127, pixel_scale=128, batch_size=2)
    modes = [part.training for part in tiny.modules()]
    features = encoder.read(pictures)
    assert [part.training for part in tiny.modules()] == modes
    numbers = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        wanted = tiny.eval()(numbers).mean((2, 3)).numpy()
    assert features.dtype == np.float32
    assert_allclose(features, wanted, atol=1e-5)


def test_several_pictures_of_a_thing_have_the_mean_of_their_embeddings(tiny):
    pictures = drawn(6, 16, 16, 3)
    encoder = ImageEncoder(tiny, size=16)
    single = encoder.read(pictures)
    several = encoder.read(as_items([list(pictures[:3]), pictures[3], (pictures[4], pictures[5])]))
    wanted = [single[:3].mean(0), single[3], single[4:].mean(0)]
    assert_allclose(several, np.stack(wanted), atol=1e-5)
    with pytest.raises(ValueError, match=r"row 0: .*list of 3 pictures.*needs a model"):
        ImageEncoder(size=16).read(as_items([list(pictures[:3])]))
    with pytest.raises(ValueError, match="needs trainable_layers=0"):
        ImageEncoder(tiny, size=16, trainable_layers=1).read(as_items([list(pictures[:3])]))


@pytest.mark.parametrize("n_last", [1, 2, 3])
def test_the_last_layers_on_the_features_of_the_first_are_the_network(tiny, n_last):
    pictures = drawn(5, 16, 16, 3)
    whole = ImageEncoder(tiny, size=16).read(pictures)
    encoder = ImageEncoder(tiny, size=16, trainable_layers=n_last, learning_rate=1e-5)
    features = encoder.fit_transform(pictures)
    assert features.dtype == np.float16 and features.shape == (5, 6, 8, 8)
    last = encoder.module(features.shape[1:], 8).eval()
    assert last.learning_rate == 1e-5
    with torch.no_grad():
        assert_allclose(last(torch.from_numpy(features)).numpy(), whole, atol=5e-3)
    before = [p.clone() for p in tiny.parameters()]
    last.train()(torch.from_numpy(features)).square().sum().backward()
    with torch.no_grad():
        for p in last.parameters():
            assert p.grad.abs().sum() > 0
            p -= p.grad
    assert all(torch.equal(a, b) for a, b in zip(before, tiny.parameters(), strict=True))


def test_a_sequential_network_is_cut_anywhere():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    pictures = drawn(3, 16, 16, 3)
    encoder = ImageEncoder(network, size=16, trainable_layers=3)
    features = encoder.read(pictures)
    assert features.shape == (3, 4, 14, 14)
    last = encoder.module((4, 14, 14), 8)
    wanted = ImageEncoder(network, size=16).read(pictures)
    assert_allclose(last(torch.from_numpy(features)).detach().numpy(), wanted, atol=5e-3)


def test_a_network_that_cannot_be_cut_says_so():
    pictures = drawn(3, 16, 16, 3)
    with pytest.raises(ValueError, match=r"one after the other.*Tangled do not"):
        ImageEncoder(Tangled(), size=16, trainable_layers=1).read(pictures)
    with pytest.raises(ValueError, match="less than the 4 layers of Tiny, got 4"):
        ImageEncoder(Tiny(), size=16, trainable_layers=4).read(pictures)


# -- what is learned ----------------------------------------------------------------------
def test_embeddings_have_unit_scale_or_components_where_rows_are_few(tiny):
    pictures = drawn(40, 16, 16, 3)
    encoder = ImageEncoder(tiny, size=16)
    columns = encoder.fit_transform(pictures)
    assert columns.shape == (40, 6)
    # a column that hardly varies beside the others keeps to a scale below 1
    assert_allclose(np.sort(columns.std(0))[2:], 1, atol=1e-3)
    few = encoder.fit(pictures[:8])
    assert few.transform(pictures).shape == (40, 2)
    assert_allclose(few.transform(pictures[:8]).mean(0), 0, atol=1e-4)
    assert ImageEncoder(tiny, size=16, n_components=3).fit_transform(pictures).shape == (40, 3)
    assert ImageEncoder(tiny, size=16, n_components=None).fit_transform(pictures[:8]).shape[1] == 6


def test_a_column_that_hardly_varies_in_training_is_not_blown_up():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(50, 5)).astype(np.float32)
    columns[:, 2] *= 1e-4
    learned = Embeddings.learned(columns)
    assert_allclose(learned(columns)[:, [0, 1, 3, 4]].std(0), 1, atol=1e-3)
    assert learned(columns[:1] + 1)[0, 2] < 20  # of its own scale it would be 10,000
    assert np.isfinite(Embeddings.learned(np.ones((9, 4)))(np.ones((2, 4)))).all()


def test_what_cannot_be_read_is_named_with_its_row_where_others_are_known(tiny, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for i, pixels in enumerate(drawn(3, 16, 16, 3)):
        image.fromarray(pixels).save(tmp_path / f"{i}.png")
    files = [str(tmp_path / f"{i}.png") for i in range(3)]
    encoder = ImageEncoder(tiny, size=16, memory=tmp_path / "kept")
    encoder.read(files)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=r"row 2: .*broken.png' cannot be read"):
        encoder.read([files[0], files[1], str(tmp_path / "broken.png")])
    with pytest.raises(FileNotFoundError, match=r"row 1: .*lost.png' is not there"):
        encoder.read([files[0], str(tmp_path / "lost.png")])


def test_a_missing_picture_stays_missing(tiny):
    items = as_items([*drawn(9, 16, 16, 3), None])
    values = ImageEncoder(tiny, size=16).fit_transform(items)
    assert np.isnan(values[-1]).all() and np.isfinite(values[:-1]).all()


def test_a_fitted_encoder_is_copied_and_pickled(tiny):
    pictures = drawn(8, 16, 16, 3)
    encoder = ImageEncoder(tiny, size=16).fit(pictures)
    again = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(again.transform(pictures), encoder.transform(pictures))
    assert clone(encoder).get_params()["size"] == 16


@pytest.mark.parametrize("n_last", [0, 1])
def test_features_of_a_model_are_remembered(tiny, n_last, tmp_path, monkeypatch):
    pictures = as_items(list(drawn(5, 16, 16, 3)))
    encoder = ImageEncoder(tiny, size=16, trainable_layers=n_last, memory=tmp_path)
    first = encoder.read(pictures)
    without = ImageEncoder(tiny, size=16, trainable_layers=n_last).read(pictures)
    assert first.dtype == without.dtype
    assert_allclose(first, without, rtol=1e-3, atol=1e-3)
    if n_last == 0:  # an item of several is not one of them
        pictures[4] = [pictures[0], pictures[1]]
        assert_allclose(encoder.read(pictures)[4], first[:2].mean(0), rtol=1e-2, atol=1e-2)
    with monkeypatch.context() as patch:
        patch.setattr(ImageEncoder, "_made", None)
        assert_array_equal(encoder.read(pictures[3::-1]), first[3::-1])
        for other in ({"pixel_mean": 1.0}, {"size": 15}, {"trainable_layers": 2}):
            with pytest.raises(TypeError):  # other features are not in the memory
                clone(encoder).set_params(**other).read(pictures[:2])
        with torch.no_grad():
            tiny.stem.bias.add_(1)
        with pytest.raises(TypeError):
            encoder.read(pictures[:2])
    pictures[1] = np.zeros((2, 2, 9))
    with pytest.raises(ValueError, match="row 1"):
        encoder.read(pictures)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file' is a file; name a folder"):
        clone(encoder).set_params(memory=tmp_path / "file").read(pictures[:1])


@pytest.mark.parametrize("n_components", [0, "many", True, 2.5])
def test_a_number_of_components_that_cannot_be_is_an_error(n_components):
    with pytest.raises(ValueError, match="n_components must be a positive int"):
        Embeddings.learned(np.ones((4, 3)), n_components)


# -- with models of transformers ----------------------------------------------------------
def saved(kind, folder):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    configs = {
        "ResNet": dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
        "ConvNext": dict(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "ViT": dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
                    intermediate_size=32, image_size=32, patch_size=8),
        "Dinov2": dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
                       image_size=32, patch_size=8),
    }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**configs[kind])
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    preprocessing = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3,
                     "image_std": [0.25] * 3, "resample": 3}  # fmt: skip
    Path(folder, "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ResNet", "ConvNext", "ViT", "Dinov2"])
def test_models_of_transformers_and_their_last_layers(kind, tmp_path):
    folder = saved(kind, tmp_path)
    pictures = drawn(3, 32, 32, 3)
    encoder = ImageEncoder(folder)
    whole = encoder.fit(pictures).read(pictures)
    assert whole.shape == (3, 16) and whole.dtype == np.float32
    assert_allclose(encoder.read(pictures), whole, atol=1e-5)
    assert len(pickle.dumps(encoder)) < 20_000  # without weights of the model
    if kind != "ViT":  # of which the pooler's weights may never have been trained
        from transformers import AutoModel

        numbers = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        with torch.no_grad():
            answer = AutoModel.from_pretrained(folder).eval()(numbers).pooler_output
        assert_allclose(whole, answer.flatten(1).numpy(), atol=1e-4)
    further = ImageEncoder(folder, trainable_layers=1)
    features = further.fit_transform(pictures)
    last = further.module(features.shape[1:], 8)
    assert all(p.requires_grad for p in last.parameters())
    with torch.no_grad():
        again = last.eval()(torch.from_numpy(features)).numpy()
    assert_allclose(again, whole, atol=2e-2)


@pytest.mark.slow
def test_a_model_that_is_not_there_says_so(tmp_path):
    pytest.importorskip("transformers")
    pictures = drawn(2, 8, 8, 3)
    with pytest.raises(OSError, match="not a folder of a model"):
        ImageEncoder(tmp_path / "none").read(pictures)
    folder = saved("ResNet", tmp_path)
    weights = tmp_path / "model.safetensors"
    torch.save({}, tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(OSError, match="needs allow_pickle=True"):
        ImageEncoder(folder).read(pictures)
