"""How many steps? Noise levels by any name, and a study that measures which level to choose."""

from stemob_wrappers.levels.table import Level, at_level, level_table, read_schedule

__all__ = ["Level", "at_level", "level_table", "read_schedule"]
