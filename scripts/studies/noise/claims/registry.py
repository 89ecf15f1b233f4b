"""The list to which the modules of this folder add the study's claims."""

from losschange.claims.registry import ClaimList

# Models of all objectives; no claim names a layer.
CLAIMS = ClaimList(objectives=("clm", "mlm", "mt"), layers=12)
