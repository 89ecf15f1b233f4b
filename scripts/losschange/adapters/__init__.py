"""Callbacks that attach the recorder to the trainers of other libraries.

`losschange.adapters.huggingface` needs transformers, `losschange.adapters.lightning` Lightning;
neither is imported before its adapter is.
"""
