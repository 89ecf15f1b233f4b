"""Claims of a paper as statistics with a criterion, judged from summaries.

A study makes a `ClaimList` and adds functions to it; this package judges the claims.
"""

from .judging import Evidence, MissingData, judge_claim, main_models
from .registry import ClaimList
from .verdicts import FAILS, HOLDS, UNKNOWN, Claim, Condition, Part, Result

__all__ = [
    "FAILS",
    "HOLDS",
    "UNKNOWN",
    "Claim",
    "ClaimList",
    "Condition",
    "Evidence",
    "MissingData",
    "Part",
    "Result",
    "judge_claim",
    "main_models",
]
