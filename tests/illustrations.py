"""Figures and tables of the paper's study, as their rules make them."""

import json
from importlib import import_module

import make_figure
import make_table

STUDY = "vazquez2022"


def draw(number, summaries, **options):
    """What a figure draws of some summaries."""
    module = import_module(f"studies.{STUDY}.figures.figure{number}")
    return module.draw({"summaries": summaries}, {"estimator": "batch", "main": [], **options})


def arguments(number, stem, inputs, **options):
    """The command line of a figure or table."""
    inputs = {name: [str(path) for path in paths] for name, paths in inputs.items()}
    return [
        *("--study", STUDY, "--number", str(number), "--inputs", json.dumps(inputs)),
        *("--options", json.dumps({"estimator": "batch", "main": [], **options})),
        *("--output-stem", str(stem)),
    ]


def write_figure(number, stem, summaries, **options):
    """Write a figure's three files."""
    make_figure.main(arguments(number, stem, {"summaries": summaries}, **options))


def write_table(number, stem, **inputs):
    """Write a table's three files."""
    make_table.main(arguments(number, stem, inputs))
