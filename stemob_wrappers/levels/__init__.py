"""How many steps? Noise levels by any name, and a study that measures which level to choose."""

from stemob_wrappers.backbones.folder import read_schedule
from stemob_wrappers.diffusion.schedule import Level, level_table
from stemob_wrappers.levels.table import at_level

__all__ = ["Level", "at_level", "level_table", "read_schedule"]
