"""Figures of Zhu et al. 2020 for models with nothing tied, and for all other translation models.

Z1: exact beside sampled gradients. Z2: groups of words and layers. Z3: every layer. Z4: intervals
of training. Z5: words by frequency.
"""

from __future__ import annotations

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

from .models import STUDY as NAME
from .models import shown_models


def translation_models(files: RunFiles) -> Inputs:
    """Summaries of all models that the study shows."""
    return {"summaries": files.summaries(shown_models(files))}


STUDY = Study(
    name=NAME,
    title="Zhu et al. 2020",
    figures=tuple(Illustration(f"Z{number}", translation_models) for number in range(1, 6)),
    order=30,
    section="section",
)
