"""Sphinx configuration: `make docs` builds the site into docs/_build."""

from pathlib import Path

from sklearn_omib import __version__

root = Path(__file__).parents[1]

project = "sklearn-omib"
author = "The sklearn-omib developers"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "conf.py"]
autosummary_generate = True
numpydoc_show_class_members = False
sphinx_gallery_conf = {
    "examples_dirs": str(root / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_(quickstart|pipeline|custom|inspection)",
}
html_theme = "alabaster"
