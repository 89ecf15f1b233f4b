"""Schemas: which parameter of a model belongs to which cell of a cube.

`schema_for` finds the schema of a model by itself; the others make one from names and numbers.
A file per group of families with alike names.
"""

from .detection import schema_for
from .gpt import gpt2_schema
from .head_check import check_heads
from .llama import llama_schema
from .modules import transformer_encoder_schema

__all__ = [
    "check_heads",
    "gpt2_schema",
    "llama_schema",
    "schema_for",
    "transformer_encoder_schema",
]
