"""The null prompt's embedding, by the pipeline's own ``encode_prompt``, and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.families.loading import Loaded, Model
from stemob_wrappers.backbones.files import find_file, load_part
from stemob_wrappers.backbones.guard import check_finite, check_folder, check_size
from stemob_wrappers.extras import needs

VOCABULARIES = ("vocab.json", "tokenizer.json", "spiece.model", "tokenizer.model")


@dataclass(frozen=True)
class NullPrompt:
    """The empty prompt as a model's denoiser takes it.

    Attributes:
        outputs: what ``encode_prompt`` returned: tensors for one prompt, or None.
        encoders: config and module of each text encoder that it went through.
        tokens: token ids and attention masks that went in, by text encoder. The embedding is
            rounded otherwise on another machine; tokens and text encoders identify it.
    """

    outputs: tuple[Any, ...]
    encoders: dict[str, Loaded]
    tokens: dict[str, list[Any]]


def null_prompt(
    model: Model, pipeline: Any, parts: dict[str, tuple[str, str]], given: dict[str, nn.Module],
    **arguments: Any,
) -> NullPrompt:  # fmt: skip
    """Embed the empty prompt as a pipeline of diffusers does, guidance scale 1.

    Args:
        model: what was asked for.
        pipeline: its class of diffusers.
        parts: the text encoders by folder; for each the class of itself and of its tokenizer, which
            hold where the model's index names none.
        given: the denoiser by folder, whose widths ``encode_prompt`` may ask.
        arguments: for ``encode_prompt``.

    Raises:
        ImportError: transformers is not installed.
        OSError: a part that is missing, truncated or corrupt.
        ValueError: a part of a class that is no text encoder or tokenizer of transformers.
    """
    encoders: dict[str, Loaded] = {}
    modules: dict[str, Any] = dict(given)
    for part, (encoder_class, tokenizer_class) in parts.items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        modules[part] = modules[tokenizer] = None
        if model.index.get(part, ["", ""])[0] is None:
            continue  # the model does without, and so does its pipeline
        encoders[part] = load_text_encoder(model, part, encoder_class)
        modules[part] = encoders[part][1]
        modules[tokenizer] = load_tokenizer(model, tokenizer, tokenizer_class)
    if not encoders:
        raise ValueError(
            f"{model.name} has no text encoder to embed the empty prompt with; save it with one, "
            "or use method='ddpm', which needs none"
        )
    pipe = pipeline(**{"vae": None, "scheduler": None, **modules})
    tokens: dict[str, list[Any]] = {}
    hooks = [
        module.register_forward_pre_hook(_recorder(part, tokens), with_kwargs=True)
        for part, (_, module) in encoders.items()
    ]
    with torch.inference_mode(False), torch.no_grad():
        outputs = pipe.encode_prompt(device=torch.device("cpu"), **arguments)
    for hook in hooks:
        hook.remove()
    return NullPrompt(outputs, encoders, tokens)


def load_text_encoder(model: Model, part: str, usual: str) -> Loaded:
    """Load a text encoder, checked before and after, in float32; returns its config too."""
    config = model.config(part)
    kind = _class_of(model, part, usual, "PreTrainedModel")
    check_folder(model.name, part)
    check_size(model.name, part, model.revision, "model", lambda: kind(kind.config_class(**config)))
    encoder = load_part(kind, model.name, part, model.revision, "text encoder")
    check_finite(encoder, model.name, part)
    return config, encoder.eval().float()


def load_tokenizer(model: Model, part: str, usual: str) -> Any:
    """Load a tokenizer."""
    # Without its vocabulary it would load all the same, empty.
    if not any(find_file(model.name, f"{part}/{file}", model.revision) for file in VOCABULARIES):
        places = " nor ".join(f"{part}/{file}" for file in VOCABULARIES)
        raise OSError(
            f"{model.name} holds neither {places}; the null prompt needs its tokenizers: save or "
            "download the whole model, or use method='ddpm', which needs none"
        )
    check_folder(model.name, part)
    kind = _class_of(model, part, usual, "PreTrainedTokenizerBase")
    return load_part(kind, model.name, part, model.revision, "tokenizer")


def _class_of(model: Model, part: str, usual: str, base: str) -> Any:
    """The class of transformers that the index names for a part; no code comes with a model."""
    with needs("diffusers", f"embedding {model.name}'s empty prompt (method='ddpm' does without)"):
        import transformers

    name = str(model.index.get(part, ["", usual])[1])
    found = getattr(transformers, name, None)
    if not isinstance(found, type) or not issubclass(found, getattr(transformers, base)):
        raise ValueError(
            f"{model.name} names {name!r} as its {part}, which is no {base} of the installed "
            f"transformers {transformers.__version__}; install a newer one, or use method='ddpm', "
            "which needs none"
        )
    return found


def _recorder(part: str, tokens: dict[str, list[Any]]) -> Any:
    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        tokens[part] = [ids.tolist(), None if mask is None else mask.tolist()]

    return record
