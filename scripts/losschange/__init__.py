"""Loss Change Allocation: which parameters lowered the loss, at every update of a training.

Knows neither fairseq nor Snakemake. Read in this order: `cube` (what is recorded), `partition`
(which parameter belongs to which cell), `allocation` (the mathematics), `recorder` (when to look
at a training), `cube_writer` and `parts` (how a growing cube survives a crash), `streaming` and
`summaries` (one pass over a cube), `profiles` and `plots`.
"""

# Raise it when the recorded numbers change: cubes of another version are then recorded anew.
RECORDING_VERSION = 1
