from .folder import EMBEDDED, INDEX_FILE, WEIGHTS
from .load import Backbone, load_backbone

__all__ = ["EMBEDDED", "INDEX_FILE", "WEIGHTS", "Backbone", "load_backbone"]
