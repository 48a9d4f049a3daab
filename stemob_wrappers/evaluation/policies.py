"""Arms of an evaluation: a policy, and the stem that its observations go through at test time."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig

Policy = Callable[[Any], Any]
"""From a batch of observations, as a vector env gives them, to actions [N, ...].

If it has ``reset(mask)``, mask bool [N], that is called whenever those envs begin an episode.
"""

RAW = "raw"
"""What an arm without a stem is called."""

SB3_ALGORITHMS = ("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3")
_FORMS = (
    "'module:function' (from a batch of observations to actions), 'module:function:PATH' (the "
    "function loads the policy from the path), 'file.py:function…' likewise, or 'PPO:path.zip' (a "
    "Stable-Baselines3 model)"
)


@dataclass(frozen=True)
class Arm:
    """One way of acting that is compared with others.

    Attributes:
        name: what tables call it; arms of one name differ in training seed or task only.
        policy: a callable, used as it is, or a name as :func:`load_policy` takes it, loaded anew
            for each cell so that no cell depends on those before it.
        stem: the stem that frames go through at test time; None leaves them raw.
        training_seed: which of several trainings this policy comes from.
        task: the env id that it can act in; None for every one that is evaluated.

    Raises:
        ValueError: an empty name.
        TypeError: a policy that is neither a callable nor a name.

    Example:
        >>> Arm("raw", "my_policies:grasp").stem is None
        True
    """

    name: str
    policy: Policy | str
    stem: StemConfig | None = None
    training_seed: int = 0
    task: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("an arm needs a name that tables can show, received an empty one")
        if not (isinstance(self.policy, str) or callable(self.policy)):
            raise TypeError(
                f"the policy of arm {self.name!r} must be a callable or {_FORMS}, "
                f"received {self.policy!r}"
            )

    def load(self) -> Policy:
        """Return the policy, loaded if it is given by name.

        Raises:
            ValueError, OSError, ImportError: it cannot be loaded; the message says what is needed.
        """
        return load_policy(self.policy) if isinstance(self.policy, str) else self.policy

    def identity(self) -> dict[str, Any]:
        """What decides the arm's actions, as JSON: to know a finished cell again.

        Of a policy with a file its content counts, not where it lies; of a callable no more can be
        known than what it is called.
        """
        if isinstance(self.policy, str):
            policy, digest = _digest(self.policy)
        else:
            policy, digest = _qualified_name(self.policy), None
        return {
            "policy": policy,
            "digest": digest,
            "stem": None if self.stem is None else self.stem.to_dict(),
            "training_seed": self.training_seed,
        }

    def describe(self, fingerprint: str | None) -> dict[str, Any]:
        """The arm's entry in a table of results, as JSON."""
        named = self.policy if isinstance(self.policy, str) else _qualified_name(self.policy)
        return {
            "name": self.name,
            "policy": named,
            "training_seed": self.training_seed,
            "task": self.task,
            "stem": None if self.stem is None else self.stem.to_dict(),
            "fingerprint": fingerprint,
        }


def cross(policies: Sequence[str], stems: Sequence[str], config: StemConfig) -> list[Arm]:
    """An arm for every policy under every stem.

    Args:
        policies: names, as :func:`load_policy` takes them.
        stems: ``"raw"`` for none, or backbones.
        config: what the stems have beside the backbone.

    Raises:
        ValueError: no policy.

    Example:
        >>> [arm.name for arm in cross(["lift:act"], ["raw", "embedded"], StemConfig())]
        ['raw', 'embedded']
    """
    if not policies:
        raise ValueError(f"name at least one policy: {_FORMS}")
    return [
        Arm(
            name=stem if len(policies) == 1 else f"{policy}, {stem}",
            policy=policy,
            stem=None if stem == RAW else config.replace(backbone=stem),
        )
        for policy in policies
        for stem in stems
    ]


def load_policy(name: str) -> Policy:
    """Load a policy by name.

    Args:
        name: ``"module:function"``, the policy itself; ``"module:function:PATH"``, where the
            function is called with the path and returns the policy; ``"PPO:path.zip"``, a
            Stable-Baselines3 model, which acts deterministically. The module may be the path of a
            ``.py`` file.

    Raises:
        ValueError: a name of another form, or one that leads to nothing callable.
        FileNotFoundError: no file at the path.
        ImportError: the module cannot be imported.

    Example:
        >>> load_policy("numpy:zeros_like").__name__
        'zeros_like'
    """
    module, separator, rest = name.partition(":")
    if not (module and separator and rest):
        raise ValueError(f"a policy is named {_FORMS}, received {name!r}")
    if rest.endswith(".zip") and ":" not in rest:
        return _load_sb3(module, Path(rest))
    function_name, _, path = rest.partition(":")
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


class Sb3Policy:
    """A Stable-Baselines3 model as a policy; it acts deterministically.

    Args:
        model: any of its algorithms.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._state: Any = None
        self._starts: NDArray[np.bool_] | None = None

    def reset(self, mask: NDArray[np.bool_]) -> None:
        """Begin episodes: a recurrent model forgets."""
        self._starts = mask.copy() if self._starts is None else self._starts | mask

    def __call__(self, observation: Any) -> Any:
        actions, self._state = self.model.predict(
            observation, state=self._state, episode_start=self._starts, deterministic=True
        )
        if self._starts is not None:
            self._starts = np.zeros_like(self._starts)
        return actions


def _load_sb3(algorithm: str, path: Path) -> Sb3Policy:
    if algorithm not in SB3_ALGORITHMS:
        raise ValueError(
            f"a Stable-Baselines3 model needs its algorithm, one of {', '.join(SB3_ALGORITHMS)}, "
            f"before the path, as in 'PPO:{path}'; received {algorithm!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no Stable-Baselines3 model at {path}")
    try:
        import stable_baselines3
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{algorithm}:{path} needs Stable-Baselines3 ({error}): "
            "pip install 'stemob_wrappers[sb3]'"
        ) from error
    return Sb3Policy(getattr(stable_baselines3, algorithm).load(path))


def _import(name: str) -> ModuleType:
    if not name.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
        try:
            return importlib.import_module(name)
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
    module = importlib.import_module(path.stem)
    if Path(getattr(module, "__file__", None) or "").resolve() != path:
        raise ImportError(
            f"{path} cannot be imported: another module is called {path.stem!r} already "
            f"({getattr(module, '__file__', 'built in')}); rename the file"
        )
    return module


def _digest(name: str) -> tuple[str, str | None]:
    """A policy's name without its path, and a hash of the file, or all files, at the path."""
    before, _, last = name.rpartition(":")
    path = Path(last)
    if not before or not path.exists():
        return name, None
    digest = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode())
            digest.update(file.read_bytes())
    return before, digest.hexdigest()


def _qualified_name(policy: Policy) -> str:
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    return f"{named.__module__}:{named.__qualname__}"
