"""What the attention heads of a Transformer do, and what they are worth.

The library works on any model that implements `attention_heads.handle.ModelHandle`. It needs
torch, numpy, scipy and xarray; `attention_heads.huggingface` needs transformers as well.

Reading order:

- handle (what is asked of a model), passes (running it), huggingface and taps (handles of Hugging
  Face models);
- confidence, positional, rare, and syntactic with treebank and words: what heads do;
- relevance, its check alpha_beta, ablation, importance, and gates with hard_concrete: what heads
  are worth;
- quantities, rank_statistics, relations, lca: whether such measures agree with the loss change
  allocation of heads;
- storage: the files.
"""
