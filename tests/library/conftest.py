"""The tests of the library's promises see the helpers of the tests above."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
