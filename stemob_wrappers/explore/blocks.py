"""The page itself, of Gradio's components: settings to the left, what they give to the right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium.error import Error as GymnasiumError

from stemob_wrappers.config import METHODS, NOISE_POLICIES, StemConfig
from stemob_wrappers.explore.page_look import COPY, UPLOAD_HTML, UPLOAD_SCRIPT
from stemob_wrappers.explore.panel import draw_copied, draw_message, draw_panel
from stemob_wrappers.explore.recordings import Track
from stemob_wrappers.explore.settings import (
    LARGE,
    NOTHING,
    OWN_SIZE,
    SHRUNK,
    SIZES,
    UPLOAD,
    Settings,
    size_of,
)
from stemob_wrappers.explore.shown import Change, EnvFrame, Picture, RecordedFrame, Shown
from stemob_wrappers.explore.studio import Studio
from stemob_wrappers.explore.uploads import read_upload
from stemob_wrappers.extras import needs

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read by the import: nothing is sent
with needs("app"):
    import gradio as gr

BACKBONES = ("embedded", "embedded-canonical")
FAR = 100  # as far as sliders of seeds, draws and steps go, unless they start further on
WRONG = (ValueError, TypeError, OSError, ImportError, RuntimeError, GymnasiumError)
ABOUT = """<h1>stemob explore</h1>
<p>What a policy sees: the frame as the camera gives it, its stem frame, and what differs. Change
the light or a texture and watch how much of the change is left.</p>"""


def build_page(studio: Studio, start: Shown | None, config: StemConfig) -> gr.Blocks:
    """Build the page.

    Args:
        studio: makes what is shown.
        start: what is shown first, or None where there is nothing yet.
        config: gives the first settings, and those fields that no control is for.
    """

    def show(*values: Any) -> tuple[str, str]:
        try:
            shown = Settings(*values).shown(studio, config)
            return draw_panel(shown, studio.see(shown)), draw_copied(shown)
        except WRONG as error:
            return draw_message(str(error)), ""

    with gr.Blocks(title="stemob explore", analytics_enabled=False) as page:
        gr.HTML(ABOUT)
        with gr.Row():
            with gr.Column(scale=2, min_width=290):
                controls, uploaded = _controls(studio, start, config)
            with gr.Column(scale=5, min_width=330, elem_id="pictures"):
                panel = gr.HTML(elem_id="panel")
        copied = gr.HTML(elem_id="copied", js_on_load=COPY)
        moved = [control.change for control in controls if not isinstance(control, gr.State)]
        how: dict[str, Any] = {
            "inputs": controls,
            "outputs": [panel, copied],
            "show_progress": "hidden" if config.backbone in BACKBONES else "minimal",
            "queue": False,
            "api_visibility": "private",
        }
        gr.on([page.load, *moved], show, trigger_mode="always_last", **how)
        uploaded.then(show, **how)
    return page


def _controls(studio: Studio, start: Shown | None, config: StemConfig) -> tuple[list[Any], Any]:
    """Lay the controls out; returns them in the order of `Settings`, and the event of an upload."""
    source = None if start is None else start.source
    change = (start and start.change) or Change(NOTHING, 3)
    recordings = studio.recordings
    data = [] if recordings is None else [recordings.path.name]
    env = source if isinstance(source, EnvFrame) else EnvFrame("")
    picture = gr.State(source if isinstance(source, Picture) else None)
    first = env.env_id or (data[0] if isinstance(source, RecordedFrame) else UPLOAD)
    chosen = gr.Radio([*studio.envs, *data, UPLOAD], value=first, label="Frame from")
    with gr.Group(visible=bool(env.env_id)) as env_box:
        seed = _slider("Reset seed", env.seed)
        steps = _slider("Random steps since the reset", env.steps)
        with gr.Row():
            _set(gr.Button("Reset", size="sm"), steps, "() => 0")
            _set(gr.Button("Step", size="sm"), steps, f"(n) => Math.min(n + 1, {steps.maximum})")
    with gr.Group(visible=isinstance(source, RecordedFrame)) as data_box:
        track, row = _recorded(studio, source)
    with gr.Group(visible=first == UPLOAD) as upload_box:
        upload = gr.HTML(UPLOAD_HTML, js_on_load=UPLOAD_SCRIPT, elem_id="upload", padding=True)
        said = gr.HTML(elem_id="said")
    with gr.Group():
        possible = [NOTHING, *studio.factors(source)]
        factor = gr.Dropdown(possible, value=change.factor, label="Change of look")
        severity = _slider("Severity", change.severity, 1, 5)
        draw = _slider("Draw", change.draw)
    with gr.Group():
        level = _slider("Level", config.inversion_steps, 0, config.num_steps)
        names = list(dict.fromkeys([*BACKBONES, config.backbone]))
        backbone = gr.Radio(names, value=config.backbone, label="Backbone")
        with gr.Row():
            method = gr.Dropdown(list(METHODS), value=config.method, label="Method", min_width=110)
            noise = gr.Dropdown(
                list(NOISE_POLICIES), value=config.noise, label="Noise", min_width=110
            )
        noise_seed = _slider("Noise seed", config.seed)
        sizes = list(dict.fromkeys([OWN_SIZE, *SIZES, size_of(config)]))
        size = gr.Dropdown(
            sizes if config.resolution is None else sizes[:1],
            value=size_of(config),
            label="Inverted at (pixels)",
        )

    def switch(name: str, factor: str) -> tuple[Any, ...]:
        boxes = (name in studio.envs, name in data, name == UPLOAD)
        possible = [NOTHING, *studio.factors(studio.envs.get(name))]
        kept = factor if factor in possible else NOTHING
        return *map(_shown_if, boxes), gr.update(choices=possible, value=kept)

    def receive(event: gr.EventData) -> tuple[Any, ...]:
        try:
            frame = read_upload(event.name, event.data)
        except ValueError as error:  # the picture before it stays
            return gr.skip(), draw_message(str(error)), gr.skip()
        added = studio.add_picture(Path(Path(event.name).name), frame)
        large = max(frame.shape[:2]) > LARGE and config.resolution is None
        return added, "", SHRUNK if large else gr.skip()

    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    chosen.change(switch, [chosen, factor], [env_box, data_box, upload_box, factor], **quiet)
    uploaded = upload.upload(receive, None, [picture, said, size], **quiet)
    controls = [chosen, picture, seed, steps, track, row, factor, severity, draw, level, backbone]
    return [*controls, method, noise, noise_seed, size], uploaded


def _recorded(studio: Studio, source: Any) -> tuple[gr.Dropdown, gr.Slider]:
    """The controls that choose a frame of the data set."""
    tracks = {} if studio.recordings is None else studio.recordings.tracks
    names = list(tracks)
    first, at = (source.track, source.row) if isinstance(source, RecordedFrame) else (None, 0)
    first = first or (names[0] if names else None)
    track = gr.Dropdown(names, value=first, label="Episode and camera")
    row = _slider("Frame", at, 0, _last(tracks, first))
    track.change(
        lambda name: gr.update(value=0, maximum=_last(tracks, name)),
        track,
        row,
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    return track, row


def _last(tracks: Mapping[str, Track], name: str | None) -> int:
    return max(1, tracks[name].count - 1) if name is not None and name in tracks else FAR


def _slider(label: str, value: int, low: int = 0, high: int = FAR) -> gr.Slider:
    return gr.Slider(low, max(high, value), value=value, step=1, precision=0, label=label)


def _set(button: gr.Button, slider: gr.Slider, script: str) -> None:
    """A button that sets a slider, in the browser."""
    button.click(None, slider, slider, js=script, api_visibility="private")


def _shown_if(visible: bool) -> Any:
    return gr.update(visible=visible)
