"""The list to which the modules of this folder add their claims."""

from losschange.claims.registry import ClaimList

CLAIMS = ClaimList(objectives=("clm", "mlm", "mt"), layers=0)
