"""Figures on what attention heads do, what they are worth, and what LCA says of them.

H1: maps of confidence, relevance and LCA. H2: functions. H3: worth against LCA. H4: quality of
pruned models. H5: which heads survive. H6: all of it over training.
"""

from __future__ import annotations

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

from .inputs import gates_files, heads_files, relations_file, scores_files


def heads_and_relations(files: RunFiles) -> Inputs:
    """Heads of the main models, and the comparisons with their LCA."""
    return {"heads": heads_files(files), "relations": [relations_file(files)]}


def heads_and_gates(files: RunFiles) -> Inputs:
    """Heads of the main models, their prunings, and the trainings from scratch."""
    return {
        "heads": heads_files(files),
        "gates": gates_files(files),
        "scores": scores_files(files),
    }


def only_heads(files: RunFiles) -> Inputs:
    """Heads of the main models."""
    return {"heads": heads_files(files)}


STUDY = Study(
    name="attention_heads",
    title="What attention heads do",
    figures=(
        Illustration("H1", heads_and_relations),
        Illustration("H2", only_heads),
        Illustration("H3", heads_and_relations),
        Illustration("H4", heads_and_gates),
        Illustration("H5", heads_and_gates),
        Illustration("H6", heads_and_relations),
    ),
    order=30,
    section="section",
    treebanks=True,
)
