"""What the attention heads of a Transformer do, and what they are worth.

The library works on any model that implements `attention_heads.handle.ModelHandle`. It needs
torch, numpy, scipy and xarray; `attention_heads.huggingface` needs transformers as well.

Reading order: handle, passes, confidence, positional, rare, syntactic, relevance, alpha_beta,
ablation, importance, gates, rank_statistics, relations, storage.
"""
