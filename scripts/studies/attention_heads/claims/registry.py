"""The list to which the modules of this folder add the claims."""

from losschange.claims.registry import ClaimList

# The claims name no layers but the first, so the number of layers does not matter.
CLAIMS = ClaimList(objectives=("mt",), layers=12)
