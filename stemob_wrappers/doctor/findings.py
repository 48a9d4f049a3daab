"""What can be wrong with demonstrations, how it is seen, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass

from stemob_wrappers.doctor.explain import SAME, View


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: what, in a word or two: one of `MENDS`.
        where: the image, or "file".
        seen: how it was seen, with figures.
    """

    fault: str
    where: str
    seen: str

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.fault]

    @property
    def mendable(self) -> bool:
        """Whether the data can be mended; else it has to be recorded, or read, otherwise."""
        return self.fault not in BEYOND_MENDING


RENDER_AGAIN = (
    "render the states again: robomimic's dataset_states_to_obs.py, with the camera names, "
    "height and width that the policy will see"
)
MENDS = {
    "flipped": "turn the stored images upside down, images[:, ::-1]: nothing is lost. OpenGL gives "
    "rows from below, as robosuite's own observations are",
    "mirrored": "turn the stored images left for right, images[:, :, ::-1]: nothing is lost",
    "channel order": "put the colours of the stored images into the order RGB: nothing is lost. "
    "OpenCV reads and writes BGR",
    "colour or contrast": RENDER_AGAIN + "; a tone curve cannot be undone where it cut levels off",
    "other camera": RENDER_AGAIN + ", or observe the camera that was found at test time",
    "other size": RENDER_AGAIN + "; or observe the stored size at test time. A resized frame is "
    "not what the env renders at that size",
    "other rendering": RENDER_AGAIN + '; or test with render_quality="fast", as these were drawn',
    "robosuite version": "test with the version that recorded (pip install robosuite==…), or "
    + RENDER_AGAIN,
    "MuJoCo version": "test with the version that recorded (pip install mujoco==…), or "
    + RENDER_AGAIN,
    "missing model file": "record again with model_file: what the env draws at random as it is "
    "built, such as the size of Lift's cube, is in no state",
    "states do not fit": "install the versions that recorded: these are states of another model",
    "wrong fingerprint": "give the backbone the weights that converted the file, or convert its "
    "source again: stemob invert-dataset",
    "wrong stem level": "convert the source again with the level that is tested with: stemob "
    "invert-dataset; the file's provenance is wrong",
    "not stem frames": "the file holds raw frames, though it names a conversion: convert it again",
    "unexplained": "look at the difference: other textures, lights, robot or controller? "
    + RENDER_AGAIN,
}
BEYOND_MENDING = ("missing model file", "states do not fit")


def judge_view(
    key: str, view: View, expected: str | None, cameras: list[str], what: str = ""
) -> list[Finding]:
    """Say what is wrong with frames that were found to be a view of their states.

    Args:
        key: name of the image.
        view: what explains them.
        expected: the camera that they should be from; None where their name names none.
        cameras: of the scene.
        what: more on what was compared.

    Example:
        >>> [finding.fault for finding in judge_view("a_image", View("a", turn="flipped"), "a", [])]
        ['flipped']
    """
    apart = f"then {view.apart:.1f} grey levels apart{what}"
    found = []
    if "flipped" in view.turn:
        found.append(Finding("flipped", key, f"upside down; {apart}"))
    if "mirrored" in view.turn:
        found.append(Finding("mirrored", key, f"left for right; {apart}"))
    if view.channels != "RGB":
        found.append(Finding("channel order", key, f"stored as {view.channels}; {apart}"))
    if view.tone:
        found.append(Finding("colour or contrast", key, f"{view.tone}; {apart}"))
    if expected is None:
        seen = f"its name is that of no camera ({', '.join(cameras)}): it shows {view.camera}"
        found.append(Finding("other camera", key, f"{seen}; {apart}"))
    elif view.camera != expected:
        found.append(Finding("other camera", key, f"it shows {view.camera}; {apart}"))
    if view.quality == "fast":
        found.append(
            Finding(
                "other rendering",
                key,
                f"drawn without shadows, reflections and multisampling; {apart}",
            )
        )
    return found


def judge_versions(
    recorded: dict[str, str], here: dict[str, str], apart: float | None
) -> list[Finding]:
    """Say which versions differ, and whether the frames do.

    Args:
        recorded: versions that the file names.
        here: versions installed.
        apart: mean grey levels that the frames are from what is rendered here, once all other
            faults are allowed for; None where nothing could be rendered.

    Example:
        >>> judge_versions({"robosuite": "1.4.1"}, {"robosuite": "1.5.2"}, 0.0)[0].seen
        'recorded with 1.4.1, here is 1.5.2; the frames are the same (0.0 grey levels apart)'
    """
    if apart is None:
        effect = "nothing could be rendered"
    elif apart <= SAME:
        effect = f"the frames are the same ({apart:.1f} grey levels apart)"
    else:
        effect = f"the frames differ ({apart:.1f} grey levels apart)"
    names = {"robosuite": "robosuite version", "mujoco": "MuJoCo version"}
    return [
        Finding(names[package], "file", f"recorded with {old}, here is {here[package]}; {effect}")
        for package, old in recorded.items()
        if package in here and old != here[package]
    ]
