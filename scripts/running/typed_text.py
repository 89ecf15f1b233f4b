"""Read values and keys of configuration files as they are written, before YAML converts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


def typed_text(
    key: str, value: Any, files: Iterable[Path] = (), arguments: Iterable[str] = ()
) -> Any:
    """The original text of a value of the configuration; the value itself if no text is found.

    YAML reads `2024_01` as the number 202401, `1e3` as 1000.0 and `no` as false, which would
    change a name.

    Parameters
    ----------
    key
        A key at the top level of the configuration.
    value
        The value as Snakemake parsed it.
    files
        Configuration files; later files override earlier ones.
    arguments
        KEY=VALUE pairs of Snakemake's --config; they override the files.
    """
    found = value
    for file in files:
        try:
            loaded = yaml.load(Path(file).read_text(encoding="utf-8"), yaml.BaseLoader)
        except (OSError, yaml.YAMLError):
            continue
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), str):
            found = loaded[key]
    for argument in arguments:
        name, equals, text = str(argument).partition("=")
        if equals and name == key:
            found = text.strip("'\"")
    return found


def keys_given_twice(files: Iterable[Path]) -> Iterator[str]:
    """A line for every key that occurs twice in one mapping of a file: YAML keeps only the last.

    Parameters
    ----------
    files
        Configuration files.
    """
    for file in files:
        try:
            root = yaml.compose(Path(file).read_text(encoding="utf-8"), yaml.BaseLoader)
        except (OSError, yaml.YAMLError):
            continue  # reported where the file is read
        waiting: list[tuple[str, Any]] = [("", root)]
        while waiting:
            path, node = waiting.pop(0)
            if isinstance(node, yaml.SequenceNode):
                waiting += [(path, inner) for inner in node.value]
            if not isinstance(node, yaml.MappingNode):
                continue
            lines: dict[str, int] = {}
            for key, inner in node.value:
                name = f"{path}{key.value}"
                line = key.start_mark.line + 1
                if name in lines:
                    yield (
                        f"{name}: it is twice in {Path(file).name}, in lines {lines[name]} and "
                        f"{line}; give one of them another name, or take one out"
                    )
                lines[name] = line
                waiting.append((f"{name}.", inner))
