"""Laws of the loaders of data as they come, on small files and on the real ones."""

import gzip
import io
import tarfile
import threading
import zipfile
from collections import Counter
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import wavfile
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_omib.datasets import (
    _raw,
    data_folder,
    load_airline_tweets,
    load_houses,
    load_mosi,
    load_spoken_digits,
)
from sklearn_omib.datasets._store import CACHE_VARIABLE, Source, fetched, unpacked


def recording():
    file = io.BytesIO()
    wavfile.write(file, 8000, np.zeros(400, dtype=np.int16))
    return file.getvalue()


NAMES = [f"{digit}_{who}_{take}.wav" for digit in (3, 7) for who in "ab" for take in range(3)]


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


# -- archives -----------------------------------------------------------------------------
def test_an_archive_is_unpacked_once(tmp_path, home):
    archive = zipped(tmp_path / "a.zip", {"b/c.txt": b"1"})
    folder = unpacked(archive, home)
    assert (folder / "b" / "c.txt").read_bytes() == b"1"
    (folder / "mark").touch()
    assert unpacked(archive, home) == folder and (folder / "mark").exists()
    assert list(home.iterdir()) == [folder]
    zipped(archive, {"b/c.txt": b"22"})
    assert (unpacked(archive, home) / "b" / "c.txt").read_bytes() == b"22"


def test_half_of_an_archive_leaves_nothing(tmp_path, home):
    archive = zipped(tmp_path / "a.zip", {"b": bytes(1000), "c": bytes(1000)})
    archive.write_bytes(archive.read_bytes()[:900])
    with pytest.raises(OSError, match=r"a\.zip is no whole archive"):
        unpacked(archive, home)
    assert not list(home.iterdir())


def test_no_name_in_an_archive_leads_out_of_it(tmp_path, home):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../out"))
    with pytest.raises(OSError, match="lead out"):
        unpacked(tmp_path / "a.tar.gz", home)
    unpacked(zipped(tmp_path / "a.zip", {"../out": b"1"}), home)
    assert not (tmp_path / "out").exists() and not (home / "out").exists()


def test_processes_that_unpack_at_once_have_one_folder(tmp_path, home):
    archive = zipped(tmp_path / "a.zip", {f"{i}": bytes(10) for i in range(50)})
    found = []
    threads = [threading.Thread(target=lambda: found.append(unpacked(archive, home)))
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and list(home.iterdir()) == [found[0]]
    assert len(list(found[0].iterdir())) == 50


# -- downloads ----------------------------------------------------------------------------
class Server(ThreadingHTTPServer):
    """Serves one file; ``breaks_after`` so many bytes of an answer."""

    contents = b""
    breaks_after = None
    ranges = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked = []


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = self.headers.get("Range")
        server.asked.append(start)
        begin = int(start[6:-1]) if start and server.ranges else 0
        if start and begin >= len(server.contents):
            self.send_error(416)
            return
        body = server.contents[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    server.contents = bytes(np.random.default_rng(0).integers(256, size=300_000, dtype=np.uint8))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source_of(server, checksum=None):
    checksum = checksum or sha256(server.contents).hexdigest()
    return Source(f"http://127.0.0.1:{server.server_port}/a", "a.zip", checksum)


def test_a_file_is_fetched_once(server, home, capsys):
    path = fetched(source_of(server), home)
    assert path.read_bytes() == server.contents and path.parent == home
    assert fetched(source_of(server), home) == path
    assert server.asked == [None]
    assert "300k" in capsys.readouterr().err  # how far it is


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_broke(server, home, ranges):
    server.breaks_after, server.ranges = 100_000, ranges
    with pytest.raises(OSError, match=r"after \d+ of 300000 bytes.*put it at"):
        fetched(source_of(server), home)
    have = (home / "a.zip.part").stat().st_size
    assert have == 100_000
    server.breaks_after = None
    assert fetched(source_of(server), home).read_bytes() == server.contents
    assert server.asked == [None, f"bytes={have}-"]
    assert [path.name for path in home.iterdir()] == ["a.zip"]


def test_a_download_that_was_whole_but_for_its_name(server, home):
    home.mkdir()
    (home / "a.zip.part").write_bytes(server.contents)
    assert fetched(source_of(server), home).read_bytes() == server.contents


def test_other_contents_than_those_known_are_thrown_away(server, home):
    with pytest.raises(OSError, match="SHA-256"):
        fetched(source_of(server, "0" * 64), home)
    assert not list(home.iterdir())


def test_without_a_network_the_message_says_what_to_do(home):
    with pytest.raises(OSError, match=r"cannot be fetched.*put it at .*a\.zip"):
        fetched(Source("http://127.0.0.1:9/a", "a.zip", ""), home)


def test_spoken_digits_are_fetched_where_they_are_not_there(server, tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in [*NAMES, "README.md"]:
            member = tarfile.TarInfo(f"free-1.0.9/recordings/{name}")
            member.size = len(recording())
            archive.addfile(member, io.BytesIO(recording()))
    server.contents = packed.getvalue()
    source = source_of(server)._replace(file="digits.tar.gz")
    monkeypatch.setattr(_raw, "SPOKEN_DIGITS", source)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"spoken_digits\.zip.*download=True"):
        load_spoken_digits(tmp_path)
    data = load_spoken_digits(tmp_path, download=True)
    assert len(data.y) == len(NAMES)


# -- loaders ------------------------------------------------------------------------------
def test_spoken_digits_are_paired_with_written_ones(tmp_path, home):
    zipped(tmp_path / "spoken_digits.zip", dict.fromkeys(NAMES, recording()))
    data = load_spoken_digits(tmp_path, data_home=home)
    assert [path.name for path in data.X["sound"]] == sorted(NAMES)
    assert all(path.is_file() for path in data.X["sound"])
    assert Counter(data.y.tolist()) == {3: 6, 7: 6}
    assert Counter(data.groups.tolist()) == {"a": 6, "b": 6}
    written = load_digits()
    for image, digit in zip(data.X["image"], data.y, strict=True):
        same = (written.images == 16 * image[0]).all((1, 2))
        assert written.target[same].tolist() == [digit]
    assert len(np.unique(data.X["image"].reshape(12, -1), axis=0)) == 12
    again = load_spoken_digits(tmp_path, data_home=home, noise=0.1)
    assert 0.05 < (again.X["image"] - data.X["image"]).std() < 0.15
    other = load_spoken_digits(tmp_path, data_home=home, random_state=1)
    assert not np.array_equal(other.X["image"], data.X["image"])


def test_houses(tmp_path, home):
    table = "house,bedrooms,bathrooms,area_sqft,zipcode,price_usd\n1,4,4,4053,00255,1000\n"
    images = {f"images/1_{room}.jpg": b"" for room in _raw.ROOMS}
    zipped(tmp_path / "houses.zip", {"houses.csv": table, **images})
    data = load_houses(tmp_path, data_home=home)
    assert data.y.tolist() == [3.0] and data.house.tolist() == [1]
    assert data.X["table"]["zipcode"].tolist() == ["00255"]
    assert data.X["kitchen"][0].name == "1_kitchen.jpg" and data.X["kitchen"][0].is_file()


def test_airline_tweets(tmp_path):
    rows = 'text,airline,retweets,weekday,hour,timezone,sentiment\n"a, b",X,0,Sunday,18,,neutral\n'
    (tmp_path / "airline_tweets.csv.gz").write_bytes(gzip.compress(rows.encode()))
    data = load_airline_tweets(tmp_path)
    assert data.X["text"].tolist() == ["a, b"] and data.y.tolist() == ["neutral"]
    assert data.X["table"]["timezone"].isna().all() and data.X["table"].shape == (1, 5)


@pytest.mark.parametrize(
    "load",
    [load_houses, load_airline_tweets, load_spoken_digits, lambda: load_mosi(text="raw")],
    ids=["houses", "tweets", "digits", "mosi"],
)
def test_what_is_loaded_goes_through_the_tools_of_scikit_learn(load, home, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(home))
    try:
        data = load()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    X, y = (data.X_train, data.y_train) if "X_train" in data else (data.X, data.y)
    X_train, X_test, y_train, _ = train_test_split(X, y, test_size=0.5, random_state=0)
    assert list(X_train) == list(X) and len(X_train) == len(y_train)
    assert len(X_train) + len(X_test) == len(y)


@pytest.mark.parametrize("load", [load_houses, load_airline_tweets, load_spoken_digits])
def test_a_file_that_is_not_there_is_named(load, tmp_path):
    with pytest.raises(FileNotFoundError, match="SKLEARN_OMIB_DATA"):
        load(tmp_path)


def test_transcripts_of_mosi(tmp_path):
    parts = {}
    for part in ("train", "test"):
        for name in ("text", "audio", "video"):
            parts[f"{name}_{part}"] = np.zeros((2, 3))
        parts |= {f"y_{part}": np.arange(2), f"id_{part}": np.array(["a_b_1", "c_2"]),
                  f"text_raw_{part}": np.array(["I LIKED IT", "NO"])}  # fmt: skip
    np.savez(tmp_path / "mosi.npz", **parts)
    data = load_mosi(tmp_path, text="raw")
    assert data.X_train["text"].tolist() == ["i liked it", "no"]
    assert data.X_test["audio"].shape == (2, 3) and data.groups_test.tolist() == ["a_b", "c"]
    assert_array_equal(load_mosi(tmp_path).X_train["text"], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="'features' or 'raw'"):
        load_mosi(tmp_path, text="words")


# -- real data ----------------------------------------------------------------------------
def real(file):
    if not (data_folder() / file).exists():
        pytest.skip(f"{file} is not there")


def test_the_real_houses(home):
    real("houses.zip")
    data = load_houses(data_home=home)
    assert data.y.shape == (535,) and 4 < data.y.min() < data.y.max() < 7
    assert all(path.is_file() for room in _raw.ROOMS for path in data.X[room])


def test_the_real_airline_tweets():
    real("airline_tweets.csv.gz")
    data = load_airline_tweets()
    assert len(data.y) == len(data.X["text"]) == 6000 and (data.y == "negative").mean() > 0.6


def test_the_real_spoken_digits(home):
    real("spoken_digits.zip")
    data = load_spoken_digits(data_home=home)
    assert Counter(data.y.tolist()) == dict.fromkeys(range(10), 120)
    assert len(set(data.groups)) == 6
    assert len(np.unique(data.X["image"].reshape(1200, -1), axis=0)) > 1150
