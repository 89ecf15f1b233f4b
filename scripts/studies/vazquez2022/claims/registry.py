"""The list to which the modules of this folder add the paper's claims."""

from losschange.claims.registry import ClaimList

# The paper trains three objectives; its claims name layers of models with twelve layers.
CLAIMS = ClaimList(objectives=("clm", "mlm", "mt"), layers=12)
