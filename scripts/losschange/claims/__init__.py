"""The paper's claims, each a statistic with a criterion, judged from summaries."""

from losschange.claims import contributions, dynamics, noise, robustness
from losschange.claims.judging import Evidence, judge_claim, main_models
from losschange.claims.registry import CLAIMS
from losschange.claims.verdicts import FAILS, HOLDS, UNKNOWN, Claim, Condition, Part, Result

# Importing a module puts its claims on the list.
MODULES = (contributions, dynamics, noise, robustness)

__all__ = [
    "CLAIMS",
    "FAILS",
    "HOLDS",
    "MODULES",
    "UNKNOWN",
    "Claim",
    "Condition",
    "Evidence",
    "Part",
    "Result",
    "judge_claim",
    "main_models",
]
