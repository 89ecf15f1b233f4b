"""Does LCA predict what freezing costs? Interventions on the cells of a training.

Figure I: predicted against measured cost, and what putting cells back to their initial values
costs. Table I: every intervention. Table IE: how well each estimator ranks them.
"""

from __future__ import annotations

from running.run_files import RunFiles
from running.study import Illustration, Inputs, Study

RECORD = "interventions/claims.json"
# What the figure and the tables need of it.
RECORD_KEYS = ("points", "rankings", "rewound", "rewound_rankings", "spread", "draws")


def the_record(files: RunFiles) -> Inputs:
    """What was predicted and measured."""
    return {"record": [f"{files.results}/{RECORD}"]}


STUDY = Study(
    name="interventions",
    title="Interventions: does LCA predict what freezing costs?",
    figures=(Illustration("I", the_record),),
    tables=(Illustration("I", the_record), Illustration("IE", the_record)),
    order=60,
    section="section",
)
