"""The stages of gpu_check.py, and what they share.

A stage is a module with a function `run(scale, clock, log, options)`; `stages.py` lists them.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
