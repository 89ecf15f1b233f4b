"""Callbacks that attach the recorder to the trainers of other libraries.

`losschange.adapters.huggingface` needs transformers, `losschange.adapters.lightning` Lightning;
neither is imported before its adapter is.

`losschange.adapters.tensorboard` and `losschange.adapters.weights_and_biases` show the sums of a
recording while the training runs; they need TensorBoard and Weights & Biases.
"""
