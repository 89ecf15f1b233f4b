"""A fairseq plug-in that records Loss Change Allocation while fairseq trains.

Load it with `--user-dir scripts/losschange_fairseq` and choose the task of an objective (`lca_clm`,
`lca_mlm`, `lca_mt`, `lca_plm`, `lca_dae`); nothing of fairseq is changed.
Read in this order: `tasks` (where it hooks in), `master_weights` (what the optimizer really moves),
`training` (the resumable training loop).
`fast` has faster implementations of the same update; each has its own option.

fairseq's own commands load its checkpoints in the same way, here to translate a test set:

    PYTHONPATH=scripts fairseq-generate results/RUN/tokens/europarl-en-de.en-de \\
        --path results/RUN/models/mt-en-de/checkpoint.pt --user-dir scripts/losschange_fairseq \\
        --source-lang en --target-lang de --gen-subset test --beam 5 \\
        --remove-bpe sentencepiece --scoring sacrebleu \\
        --required-batch-size-multiple 1

Without the last option fairseq leaves out the longest sentences. fairseq's own scorer, `bleu`, is
not built by the set-up.
"""

import argparse

import torch

# `denoising` and `prefix_lm` register tasks that fairseq does not have; `tasks` records all tasks.
from . import denoising, fast, prefix_lm, tasks  # noqa: F401

# torch >= 2.6 refuses fairseq's checkpoints without this, and fairseq would start from zero.
torch.serialization.add_safe_globals([argparse.Namespace])
