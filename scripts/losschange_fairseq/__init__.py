"""A fairseq plug-in that records Loss Change Allocation while fairseq trains.

Load it with `--user-dir scripts/losschange_fairseq` and choose one of its tasks
(`lca_translation`, `lca_language_modeling`, `lca_masked_lm`); nothing of fairseq is changed.
Read in this order: `tasks` (where it hooks in), `schemas` (which parameter is which component),
`master_weights` (what the optimizer really moves), `training` (the resumable training loop).
`fast` holds quicker ways to the same update, all of them switches.
"""

from . import fast, tasks  # noqa: F401
