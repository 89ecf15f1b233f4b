"""The numbers in the paper's tables (Vázquez et al. 2022, Tables 1-3)."""

from __future__ import annotations

OBJECTIVES = ("clm", "mlm", "mt")

# Table 1: number of (layer, step) cells with positive LCA, in the order of OBJECTIVES.
POSITIVE_COUNTS = {
    "embedding": (2, 0, 2),
    "key": (29, 1565, 64),
    "query": (24, 2055, 64),
    "value": (24, 24, 130),
    "out": (24, 6, 113),
    "W1": (24, 0, 59),
    "W2": (24, 0, 131),
}
LAST_POSITIVE_STEP = (1072, 59727, 2673)
LARGEST_POSITIVE = ("5.58 (key)", "68.18 (value)", "95 (W2)")

# Table 2: the paper's row and the printed value, by the name in settings.json.
HYPER_PARAMETERS = {
    "layers": ("num. layers", "12 (MT: 6 + 6)"),
    "attention_heads": ("att. heads", "8"),
    "embedding_dimension": ("embeddings dim.", "512"),
    "feed_forward_dimension": ("ffwd hidden dim.", "2048"),
    "update_frequency": ("update-freq", "16"),
    "precision": ("precision", "fp16"),
    "total_updates": ("total-num-update", "125000"),
    "warmup_updates": ("warmup-updates", "8000"),
    "learning_rate_schedule": ("lr-scheduler", "polynomial decay"),
    "learning_rate": ("lr", "0.0005"),
    "optimizer": ("optimizer", "adam"),
    "adam_betas": ("adam-betas", "(0.9, 0.98)"),
    "adam_epsilon": ("adam-eps", "1e-06"),
    "weight_decay": ("weight-decay", "0.01"),
    "clip_norm": ("clip-norm", "0.0"),
    "dropout": ("dropout", "0.1"),
    "attention_dropout": ("attention dropout", "0.0"),
    "activation": ("activation-fn", "relu"),
    "tokens_per_sample": ("tokens-per-sample", "512"),
    "max_tokens": ("max-tokens-per-sample", "2048"),
}

# Table 3, by corpus: data set, language pair, and the printed numbers of sentences.
EUROPARL = "Europarl"
WMT = "WMT-2018"
NEWSTEST = "newstest2018"
SENTENCES = {
    "europarl-en-de": (EUROPARL, "en-de", {"train": "1.92M", "valid": "2.5K", "test": "2.5K"}),
    "europarl-en-fi": (EUROPARL, "en-fi", {"train": "1.91M", "valid": "2.5K", "test": "2.5K"}),
    "europarl-en-et": (EUROPARL, "en-et", {"train": "0.7M", "valid": "2.5K", "test": "2.5K"}),
    "wmt-en-de": (WMT, "en-de", {"train": "5M", "valid": "3K"}),
    "newstest2018-en-de": (NEWSTEST, "en-de", {"test": "2.9K"}),
    "newstest2018-en-fi": (NEWSTEST, "en-fi", {"test": "3.0K"}),
    "newstest2018-en-et": (NEWSTEST, "en-et", {"test": "2.0K"}),
}
