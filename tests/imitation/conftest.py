"""Lets tests import the scripts of examples/imitation as the scripts import each other."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples" / "imitation")]
