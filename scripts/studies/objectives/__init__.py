"""The study of objectives and architectures crossed: five objectives, one stack of layers or two.

The paper's three objectives differ in their architectures too: CLM and MLM are one stack, MT is
two. The prefix language model gives MT's objective to one stack, the denoising model gives the
MLM's information to two.
"""
