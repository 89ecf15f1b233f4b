"""A fairseq plug-in that records Loss Change Allocation while fairseq trains.

Load it with `--user-dir scripts/losschange_fairseq` and choose the task of an objective (`lca_clm`,
`lca_mlm`, `lca_mt`); nothing of fairseq is changed.
Read in this order: `tasks` (where it hooks in), `schemas` (which parameter is which component),
`master_weights` (what the optimizer really moves), `training` (the resumable training loop).
`fast` holds quicker ways to the same update, all of them switches.
"""

from . import fast, tasks  # noqa: F401
