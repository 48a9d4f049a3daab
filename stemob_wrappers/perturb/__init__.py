"""Changes of appearance for MuJoCo scenes and for pixels; names are imported at first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
