"""The documentation: what it must name, where its links lead, and that it can be built."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import losschange
from losschange.cube.estimators import RULES
from losschange.cube.format import DETAILS, SERIES, detail_variable
from losschange.cube.layout import COMPONENTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# Made when the documentation is built.
MADE = {DOCS / "reference" / "configuration.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Where a build without network would fail: every name is looked up by this function.
NO_NETWORK = """
import socket

def refuse(*arguments, **names):
    raise OSError("the documentation asked for the network")

socket.getaddrinfo = refuse
socket.socket.connect = refuse
"""

sys.path.insert(0, str(ROOT / "tools"))
import documentation_pages  # noqa: E402  (after the folder that it is in)


def anchors(page):
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def entries(page):
    """What a page shows from docstrings, by the heading that it gives or the path of the name."""
    text = (DOCS / "reference/api" / page).read_text(encoding="utf-8")
    found = re.findall(r"^::: (\S+)(?:\n    options: \{heading: (\S+),)?", text, re.MULTILINE)
    return {heading or path: path for path, heading in found}


def is_there(path, name):
    """Whether a path leads to the public name of losschange."""
    module, _, last = path.rpartition(".")
    return getattr(import_module(module), last, None) is getattr(losschange, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"\w+:", link) or target in MADE:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_public_name_of_losschange_has_an_entry():
    shown = entries("losschange.md")
    names = set(losschange._PLACES)
    assert shown.keys() == {f"losschange.{name}" for name in names}
    # A page shows an object in the module that defines it.
    elsewhere = {name for name in names if not is_there(shown[f"losschange.{name}"], name)}
    assert elsewhere == set()
    text = (DOCS / "reference/api/losschange.md").read_text(encoding="utf-8")
    others = {f"losschange.{name}" for name in losschange.__all__ if name not in names}
    assert {name for name in others if f"### {name}\n" not in text} == set()


@pytest.mark.parametrize("library", ["attention_heads", "representations"])
def test_every_module_of_a_library_has_an_entry(library):
    modules = {path.stem for path in (ROOT / "scripts" / library).glob("*.py")} - {"__init__"}
    assert entries(f"{library}.md").keys() == {f"{library}.{module}" for module in modules}


def test_the_page_of_the_cube_names_all_that_a_cube_holds():
    text = (DOCS / "reference/cube.md").read_text(encoding="utf-8")
    details = {detail_variable(name, "<estimator>") for name in DETAILS}
    details = {name.removesuffix("_<estimator>") for name in details}
    names = {*SERIES, *COMPONENTS, *details, "n_parameters", "valid_loss", "lca"}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_page_of_the_estimators_names_every_rule():
    text = (DOCS / "explanation/estimators.md").read_text(encoding="utf-8")
    assert {rule for rule in RULES if f"| `{rule}` |" not in text} == set()


def test_the_page_of_the_configuration_has_every_key_and_every_line():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    schema = documentation_pages.configuration_schema()
    page = documentation_pages.configuration_page(text, schema)
    listed = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert {key.partition(".")[0] for key in listed} == schema["properties"].keys()
    settings = yaml.safe_load(text)
    for section in ("training", "recording", "execution"):
        below = {key.split(".")[1] for key in listed if key.startswith(f"{section}.")}
        assert settings[section].keys() <= below
    rulers = documentation_pages.SECTION
    lines = [line for line in rulers.sub("", text).splitlines() if line]
    assert [line for line in lines if line not in page.splitlines()] == []


def test_the_page_of_the_claims_has_those_of_every_study():
    page = documentation_pages.claims_list()
    from studies.vazquez2022.claims import CLAIMS

    assert [number for number in CLAIMS if CLAIMS[number].statement not in page] == []
    with_claims = {path.parts[-2] for path in ROOT.glob("scripts/studies/*/claims*")}
    assert page.count("| claim | section |") == len(with_claims) > 1


def test_allowed_values_are_told_in_words():
    schema = {
        "properties": {"rate": {"$ref": "#/$defs/Rate"}},
        "$defs": {
            "Rate": {
                "properties": {
                    "start": {"type": "number", "exclusiveMinimum": 0},
                    "decay": {"anyOf": [{"enum": ["linear", "none"]}, {"type": "null"}]},
                    "peaks": {"type": "object", "additionalProperties": {"type": "integer"}},
                }
            }
        },
    }
    page = documentation_pages.configuration_page("rate:\n  start: 1  # per update\n", schema)
    assert "  start: 1  # per update\n" in page
    assert "| `rate.start` | number above 0 |" in page
    assert "| `rate.decay` | `linear`, `none` or `null` |" in page
    assert "| `rate.peaks.<name>` | whole number |" in page


def test_links_to_the_repository_lead_to_copies():
    path = documentation_pages.repository_path
    assert path("cluster.md", "../config.yaml") == "config.yaml"
    assert path("reference/cube.md", "../cluster.md") is None
    assert path("reference/cube.md", "../../README.md") == "README.md"


def test_a_link_to_no_file_of_the_repository_is_an_error_that_names_it(tmp_path):
    page = tmp_path / "page.md"
    files = Files([File("page.md", str(tmp_path), str(tmp_path / "site"), False)])
    page.write_text("[a](../config.yaml) [b](other.md) [c](#d)", encoding="utf-8")
    assert documentation_pages.linked_files(files) == ["config.yaml"]
    page.write_text("[a](../nothing.yaml)", encoding="utf-8")
    with pytest.raises(PluginError, match=r"page\.md links to nothing\.yaml"):
        documentation_pages.linked_files(files)


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_without_a_network(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(site.rglob("*.html"))}
    api = pages[site / "reference/api/losschange.html"]
    assert "The optimizer's own hooks" not in api  # a module's docstring is no entry
    assert "Record every step of an optimizer from now on." in api
    assert (site / "repository/config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    # Nothing that a page loads by itself comes from another host.
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]* src=\"?(?:https?:)?//|<link[^>]*stylesheet[^>]*//"
    )
    assert [page.name for page, text in pages.items() if loaded.search(text)] == []
