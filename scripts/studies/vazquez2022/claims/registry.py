"""The list that the modules of this folder put the paper's claims on."""

from losschange.claims.registry import ClaimList

# The paper trains three objectives and names layers of models of twelve.
CLAIMS = ClaimList(objectives=("clm", "mlm", "mt"), layers=12)
