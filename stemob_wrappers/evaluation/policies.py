"""Conditions of an evaluation: a policy, and the stem that its observations pass through."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.content import (
    callable_content,
    import_fresh,
    module_content,
    path_content,
)
from stemob_wrappers.evaluation.stable_baselines import files_of, load_sb3
from stemob_wrappers.work import digest

Policy = Callable[[Any], Any]
"""From a batch of observations, as a vector env gives them, to actions [N, ...].

If it has ``reset(mask)``, mask bool [N], that is called whenever those envs begin an episode.
"""

RAW = "raw"
"""What a condition without a stem is called."""

UNTOLD = "untold"
"""In place of what a policy learned from, if it does not tell."""

_FORMS = (
    "'module:function' (from a batch of observations to actions), 'module:function:PATH' (the "
    "function loads the policy from the path), 'file.py:function…' likewise, or 'PPO:path.zip' (a "
    "Stable-Baselines3 model)"
)


@dataclass(frozen=True)
class Condition:
    """One way of acting that is compared with others.

    Attributes:
        name: what tables call it; conditions of one name differ in training seed or task only.
        policy: a callable, used as it is, or a name as :func:`load_policy` takes it, loaded anew
            for each cell so that no cell depends on those before it.
        stem: the stem that frames go through at test time; None leaves them raw.
        training_seed: which of several trainings this policy comes from.
        task: the env id that it can act in; None for every one that is evaluated.
        allow_mismatch: whether the policy may have learned from other frames than the stem gives;
            its row's name then says what it is tested on, as in "embedded (test raw)".

    Raises:
        ValueError: an empty name.
        TypeError: a policy that is neither a callable nor a name.

    Example:
        >>> Condition("raw", "my_policies:grasp").stem is None
        True
    """

    name: str
    policy: Policy | str
    stem: StemConfig | None = None
    training_seed: int = 0
    task: str | None = None
    allow_mismatch: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a condition needs a name that tables can show, received an empty one")
        if not (isinstance(self.policy, str) or callable(self.policy)):
            raise TypeError(
                f"the policy of condition {self.name!r} must be a callable or {_FORMS}, "
                f"received {self.policy!r}"
            )

    def load(self) -> Policy:
        """Return the policy, loaded if it is given by name.

        Raises:
            ValueError, OSError, ImportError: it cannot be loaded; the message says what is needed.
        """
        return load_policy(self.policy) if isinstance(self.policy, str) else self.policy

    def identity(self) -> dict[str, Any]:
        """What decides its actions, as JSON: to know a finished cell again.

        Of a policy with a name those are its source files, those of the modules that it imports
        from the same package or folder, and what lies at the path that it loads; of a callable its
        code and state. Files count by their content, not by where they lie. ``content`` is None for
        a callable whose state cannot be told, such as one that holds a network: its cells are
        played again by every evaluation.

        Raises:
            ValueError, OSError, ImportError: it cannot be loaded.
        """
        if isinstance(self.policy, str):
            policy, content = _content_of_name(self.policy)
        else:
            policy, content = _qualified_name(self.policy), callable_content(self.policy)
        return {
            "policy": policy,
            "content": None if content is None else digest(content),
            "stem": None if self.stem is None else self.stem.to_dict(),
            "training_seed": self.training_seed,
        }

    def describe(self, fingerprint: str | None) -> dict[str, Any]:
        """The condition's entry in a table of results, as JSON."""
        named = self.policy if isinstance(self.policy, str) else _qualified_name(self.policy)
        return {
            "name": self.name,
            "policy": named,
            "training_seed": self.training_seed,
            "task": self.task,
            "stem": None if self.stem is None else self.stem.to_dict(),
            "fingerprint": fingerprint,
        }


def load_policy(name: str) -> Policy:
    """Load a policy by name.

    Args:
        name: ``"module:function"``, the policy itself; ``"module:function:PATH"``, where the
            function is called with the path and returns the policy; ``"PPO:path.zip"``, a model of
            Stable-Baselines3 or sb3_contrib, which acts deterministically; the statistics of its
            VecNormalize are found beside it, or named, ``"PPO:path.zip:vecnormalize.pkl"``. The
            module may be the path of a ``.py`` file.

    Raises:
        ValueError: a name of another form, or one that leads to nothing callable.
        FileNotFoundError: no file at the path.
        ImportError: the module cannot be imported.

    Example:
        >>> load_policy("numpy:zeros_like").__name__
        'zeros_like'
    """
    module, function_name, path = _parts(name)
    if not function_name:
        return load_sb3(module, path)
    function = getattr(_import(module), function_name, None)
    if not callable(function):
        raise ValueError(f"{module} has no function {function_name!r}, which {name!r} asks for")
    if not path:
        return function
    if not Path(path).exists():
        raise FileNotFoundError(f"no policy at {path}, which {name!r} asks for; train it first")
    policy = function(path)
    if not callable(policy):
        raise ValueError(
            f"{module}:{function_name} must return a policy, a callable from observations to "
            f"actions, received {policy!r}"
        )
    return policy


def _parts(name: str) -> tuple[str, str, str]:
    """Module, function and path of a policy's name; no function for a Stable-Baselines3 model.

    Its path may have that of its statistics behind it.
    """
    module, separator, rest = name.partition(":")
    if not (module and separator and rest):
        raise ValueError(f"a policy is named {_FORMS}, received {name!r}")
    if rest.partition(":")[0].endswith(".zip"):
        return module, "", rest
    function, _, path = rest.partition(":")
    return module, function, path


def _content_of_name(name: str) -> tuple[str, list[Any]]:
    """A policy's name without places, and the content of all that it is made of."""
    module, function, path = _parts(name)
    content = [module_content(_import(module)) if function else None]
    if path:
        content += map(path_content, [Path(path)] if function else files_of(path))
    place = Path(module).name if module.endswith(".py") else module
    return f"{place}:{function}", content


def _import(name: str) -> ModuleType:
    if not name.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
        try:
            return import_fresh(name)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{error}; a module is found from the folder that the command runs in, a file by "
                "its path, as in 'folder/file.py:function'"
            ) from error
    path = Path(name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    # As `python file.py` has it: the scripts beside it can be imported.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = import_fresh(path.stem)
    if Path(getattr(module, "__file__", None) or "").resolve() != path:
        raise ImportError(
            f"{path} cannot be imported: another module is called {path.stem!r} already "
            f"({getattr(module, '__file__', 'built in')}); rename the file"
        )
    return module


def _qualified_name(policy: Policy) -> str:
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    return f"{named.__module__}:{named.__qualname__}"
