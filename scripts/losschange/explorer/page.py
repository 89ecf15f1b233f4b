"""The explorer's page: one HTML file with its style and scripts inside, and Plotly beside it."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from losschange.cube.format import open_cube
from losschange.errors import ExplorerError

from .data import write_model, write_text

PAGE = "index.html"
PLOTLY = "plotly.min.js"
# In the order in which they need each other.
SCRIPTS = ("numbers.js", "selection.js", "panels.js", "exports.js", "page.js")


def explore(cubes: Iterable[Path], folder: Path, title: str) -> Path:
    """Write the explorer of some cubes.

    Parameters
    ----------
    cubes : iterable of path
        Each is called by its file's name.
    folder : path
        Where the page and its scripts come to stand.
    title : str

    Returns
    -------
    path
        The page.

    Raises
    ------
    ExplorerError
        If two cubes have the same name, there is none, or Plotly is missing.
    CubeError
        If a file is no cube.
    """
    cubes = list(cubes)
    names = [cube.stem for cube in cubes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExplorerError(
            f"several cubes are called {', '.join(twice)}; the page tells them apart by their "
            "files' names, so rename all but one"
        )
    if not cubes:
        raise ExplorerError("there is no cube to explore; name at least one")
    for cube in cubes:
        open_cube(cube).close()  # so that nothing is written if one of them is no cube
    for name, cube in zip(names, cubes, strict=True):
        write_model(cube, name, folder / "models" / f"{name}.js")
    return write_page(names, folder, title)


def write_page(names: Sequence[str], folder: Path, title: str) -> Path:
    """Write the page that shows the models of these names, and Plotly; return the page's path.

    Raises
    ------
    ExplorerError
        If Plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ExplorerError(
            f"the explorer draws with Plotly ({error}); install it, or losschange[explorer]"
        ) from None
    parts = files(__package__).joinpath("page")
    models = {name: f"models/{quote(name)}.js" for name in names}
    page = parts.joinpath(PAGE).read_text(encoding="utf-8")
    # `</` would end the script that holds the list.
    listed = json.dumps(models).replace("</", "<\\/")
    for mark, text in (
        ("/* style */", parts.joinpath("explorer.css").read_text(encoding="utf-8")),
        ("/* models */", f"const MODELS = {listed};"),
        (
            "/* scripts */",
            "\n".join(parts.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS),
        ),
    ):
        page = page.replace(mark, text)
    write_text(folder / PLOTLY, get_plotlyjs())
    write_text(folder / PAGE, page.replace("{{ title }}", html.escape(title)))
    return folder / PAGE
