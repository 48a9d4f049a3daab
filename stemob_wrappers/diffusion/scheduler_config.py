"""What a diffusers ``scheduler_config.json`` says of the noising process, and in whose terms.

The class of a scheduler says which fields it reads, what those mean that are left out, and how it
lays its steps; a sampler's other settings do not concern inversion.
"""

from __future__ import annotations

from typing import Any

SOLVERS = {  # with their "linspace" and "leading" they lay one step more and leave out the lowest
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler"),
    *("UniPCMultistepScheduler", "SASolverScheduler", "DPMSolverMultistepInverseScheduler"),
}
SIGMAS = {  # "linspace" where nothing is said
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"),
    *("LMSDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
    *("DPMSolverSDEScheduler",),
}
DISCRETE = {
    *("DDIMScheduler", "DDIMInverseScheduler", "DDIMParallelScheduler", "DDPMScheduler"),
    *("DDPMParallelScheduler", "PNDMScheduler", "LCMScheduler", "TCDScheduler", *SOLVERS, *SIGMAS),
}
FLOW_MATCHING = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
FLOW_SOLVERS = (
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler"),
)

_DIFFUSERS_DEFAULTS: dict[str, Any] = {
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "num_train_timesteps": 1000,
    "timestep_spacing": "leading",
    "steps_offset": 0,
    "prediction_type": "epsilon",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "set_alpha_to_one": True,
}
_SD_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "PNDMScheduler": {"set_alpha_to_one": False},
    "LCMScheduler": _SD_BETAS,
    "TCDScheduler": _SD_BETAS,
    **{name: {"timestep_spacing": "linspace"} for name in (*SOLVERS, *SIGMAS)},
}
_FLOW_DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "time_shift_type": "exponential",
}
_FLOW_UNSUPPORTED = (
    *("invert_sigmas", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas"),
    "use_beta_sigmas",
)


def scheduler_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a ``scheduler_config.json`` that a schedule is made of.

    Those that it leaves out have the defaults of its class; its sampler's own, which inversion does
    not ask, are dropped.

    Example:
        >>> scheduler_fields({"clip_sample": True})["beta_schedule"]
        'linear'
    """
    kind = config.get("_class_name", "DDIMScheduler")
    usual = _DIFFUSERS_DEFAULTS | _CLASS_DEFAULTS.get(kind, {})
    fields = {name: config.get(name, usual[name]) for name in _DIFFUSERS_DEFAULTS}
    spacing = fields["timestep_spacing"]
    if kind in ("LCMScheduler", "TCDScheduler"):
        fields["timestep_spacing"] = "trailing"  # which it was distilled on; they read no spacing
    elif kind == "DPMSolverSinglestepScheduler":
        fields["timestep_spacing"] = "open-linspace"  # the only one that it has
    elif kind in SOLVERS and spacing in ("linspace", "leading"):
        fields["timestep_spacing"] = f"open-{spacing}"
    return fields


def is_flow(config: dict[str, Any]) -> bool:
    """Whether a scheduler's paths from image to noise are straight, as flow matching has them.

    Raises:
        ValueError: a class of schedulers whose noising process is not known here.

    Example:
        >>> is_flow({"_class_name": "FlowMatchEulerDiscreteScheduler"})
        True
    """
    kind = config.get("_class_name", "DDIMScheduler")
    if kind in FLOW_MATCHING or (kind in FLOW_SOLVERS and config.get("use_flow_sigmas")):
        return True
    if kind in DISCRETE and not config.get("use_flow_sigmas"):
        return False
    way = " with use_flow_sigmas" if config.get("use_flow_sigmas") else ""
    raise ValueError(
        f"the scheduler is a {kind}{way}, whose noise levels are not known here; supported are "
        f"{', '.join(sorted(DISCRETE))}, {', '.join(FLOW_MATCHING)}, and with use_flow_sigmas "
        f"{', '.join(FLOW_SOLVERS)}. Save the model with one of these that it was trained for"
    )


def flow_fields(config: dict[str, Any], even: bool = False) -> dict[str, Any]:
    """Return the fields of a flow-matching ``scheduler_config.json`` that a schedule is made of.

    Args:
        config: of a scheduler that :func:`is_flow`.
        even: whether the pipeline lays the steps evenly itself, as Flux does.

    Raises:
        ValueError: a setting that bends the levels in a way that is not supported.

    Example:
        >>> flow_fields({"_class_name": "FlowMatchEulerDiscreteScheduler"})["steps"]
        'scheduler'
    """
    bent = [name for name in _FLOW_UNSUPPORTED if config.get(name)]
    if bent:
        raise ValueError(
            f"the flow-matching scheduler sets {', '.join(bent)}, which is not supported; leave it "
            "out if the model was trained without"
        )
    fields = {name: config.get(name, usual) for name, usual in _FLOW_DEFAULTS.items()}
    if config.get("_class_name") in FLOW_SOLVERS:
        return fields | {"shift": config.get("flow_shift", 1.0), "steps": "solver"}
    return fields | {"steps": "even" if even else "scheduler"}
