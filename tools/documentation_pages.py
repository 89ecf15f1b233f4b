"""Hooks of MkDocs: pages that are made when the documentation is built.

The page of the configuration is made from config.yaml and its schema, the list of claims from the
studies' lists. Files of the repository that a page links to are copied into the site, so that its
links work without the repository.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION_PAGE = "reference/configuration.md"
# Folder of the copies of the repository's files in the site.
COPIES = "repository"
# In a page, this mark is replaced by the list of all claims.
CLAIMS_MARK = "<!-- all claims -->"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
SECTION = re.compile(r"^# -{20,} (\w+)\n", re.MULTILINE)
# Overrides hold the keys of `training`, all of them optional; they are not listed again.
OVERRIDE = "TrainingOverride"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the configuration's page, and copies of the repository's files that pages link to."""
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    page = configuration_page(text, configuration_schema())
    files.append(File.generated(config, CONFIGURATION_PAGE, content=page))
    for path in linked_files(files):
        content = (ROOT / path).read_bytes()
        files.append(File.generated(config, _copy_of(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point a page's links to files of the repository at the copies of these."""
    source = page.file.src_uri

    def replaced(match: re.Match[str]) -> str:
        path = repository_path(source, match[1])
        if path is None:
            return match[1]
        return posixpath.relpath(_copy_of(path), posixpath.dirname(source))

    if CLAIMS_MARK in markdown:
        markdown = markdown.replace(CLAIMS_MARK, claims_list())
    return LINK.sub(replaced, markdown)


def claims_list() -> str:
    """All claims of all studies as Markdown, each with its criterion."""
    _find_scripts()
    from common.study_modules import module_of_study, study_names
    from running.studies import load_study

    lines = []
    for name in sorted(study_names(), key=lambda name: load_study(name).order):
        if find_spec(f"studies.{name}.claims") is None:
            continue
        claims = module_of_study(name, "claims").CLAIMS
        lines += [
            f"### {load_study(name).title}\n",
            "| claim | section | statement | criterion |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {number} | §{claim.section} | {claim.statement} | {claim.criterion} |"
            for number, claim in claims.items()
        ]
        lines.append("")
    return "\n".join(lines)


def linked_files(files: Files) -> list[str]:
    """Paths of the repository's files, outside docs/, that pages link to.

    Raises
    ------
    PluginError
        If a page links to something outside docs/ that is no file of the repository.
    """
    pages = {path: file.src_uri for file in files.documentation_pages() for path in _linked(file)}
    for path, page in sorted(pages.items()):
        if not (ROOT / path).is_file():
            raise PluginError(f"{page} links to {path}, which is no file of the repository")
    return sorted(pages)


def configuration_page(text: str, schema: dict[str, Any]) -> str:
    """The reference of the configuration as Markdown.

    Parameters
    ----------
    text : str
        Content of config.yaml. Its comments explain each key; lines such as `# ------ training`
        begin a section.
    schema : dict
        JSON schema of the configuration: which keys there are, and which values they may have.
    """
    beginning, *rest = SECTION.split(text)
    sections = {"run": beginning, **dict(zip(rest[::2], rest[1::2], strict=True))}
    page = [
        "# The configuration\n",
        "Every setting stands in [config.yaml](../../config.yaml), with its unit and its reason.",
        "A preset, given by `--configfile`, replaces single values. Keys that are not listed here",
        "are refused. Each section below shows its part of the file, then the kinds of values that",
        "its keys may hold; `<name>` stands for a name, such as that of a corpus. Some values are",
        "checked further, as the comments of the file say.\n",
    ]
    for title, part in sections.items():
        keys = re.findall(r"^(\w+):", part, re.MULTILINE)
        rows = [row for key in keys for row in _rows(key, schema["properties"][key], schema)]
        page += [f"## {title.capitalize()}\n", f"```yaml\n{part.strip()}\n```\n"]
        page += ["| key | allowed |", "|---|---|"]
        page += [f"| `{key}` | {allowed} |" for key, allowed in rows]
        page.append("")
    return "\n".join(page)


def configuration_schema() -> dict[str, Any]:
    """The configuration's JSON schema, from the modules in scripts/."""
    _find_scripts()
    from running.configuration import Configuration

    return Configuration.model_json_schema()


def _find_scripts() -> None:
    """Make the modules in scripts/ importable."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(ROOT / "scripts"))


def _rows(key: str, node: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted names of a key and the keys below it, each with its allowed values in words."""
    name = node.get("$ref", "").rpartition("/")[2]
    inner = _value_of_a_name(node)
    if name == OVERRIDE:
        yield key, "keys of `training`"
    elif name and "properties" not in schema["$defs"][name]:
        yield from _rows(key, schema["$defs"][name], schema)
    elif name:
        for below, child in schema["$defs"][name]["properties"].items():
            yield from _rows(f"{key}.{below}", child, schema)
    elif inner:
        yield from _rows(f"{key}.<name>", inner, schema)
    else:
        yield key, _allowed(node, schema)


def _allowed(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """The allowed values of a node, in words."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        definition = schema["$defs"][name]
        if "properties" in definition:
            return "keys " + ", ".join(f"`{key}`" for key in definition["properties"])
        return _allowed(definition, schema)
    if several := node.get("anyOf", node.get("oneOf")):
        return " or ".join(dict.fromkeys(_allowed(one, schema) for one in several))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    kind = node.get("type")
    if kind == "array":
        elements = node.get("prefixItems") or [node.get("items", {})]
        return "list, each: " + " or ".join(
            dict.fromkeys(_allowed(one, schema) for one in elements)
        )
    if kind == "object":
        inner = _value_of_a_name(node)
        return "`<name>` with " + _allowed(inner, schema) if inner else "`<name>`"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "null": "`null`",
    }
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "pattern": "of the form",
    }
    bounds = [
        f"{word} `{node[limit]}`" if limit == "pattern" else f"{word} {node[limit]:,}"
        for limit, word in limits.items()
        if limit in node
    ]
    value = words.get(str(kind), "any value")
    return f"{value} {' and '.join(bounds)}" if bounds else value


def _value_of_a_name(node: dict[str, Any]) -> dict[str, Any]:
    """Schema of the values of a mapping with free names; empty for any other node."""
    patterns = list(node.get("patternProperties", {}).values())
    inner = node.get("additionalProperties")
    return inner if isinstance(inner, dict) else (patterns or [{}])[0]


def _linked(file: File) -> set[str]:
    """Paths in the repository, outside docs/, that a page links to."""
    paths = {repository_path(file.src_uri, link) for link in LINK.findall(file.content_string)}
    return {path for path in paths if path is not None}


def repository_path(source: str, link: str) -> str | None:
    """Path in the repository that a page's link leads to; None if it stays in docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), link))
    return None if path.startswith("docs/") else path


def _copy_of(path: str) -> str:
    """Path in the site of the copy of a repository's file."""
    # Another ending makes MkDocs copy the file instead of making a page of it.
    return f"{COPIES}/{path}.txt" if path.endswith(".md") else f"{COPIES}/{path}"
