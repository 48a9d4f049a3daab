import pytest
import tiny_models
import torch

from stemob_wrappers.backbones.codecs import IdentityCodec, wrap_autoencoder
from stemob_wrappers.backbones.networks import StemAutoencoder

IMAGES = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1


def stem_autoencoder():
    torch.manual_seed(0)
    return StemAutoencoder(2, 2, width=32, context_width=32, deep_width=32).eval()


@pytest.mark.parametrize(
    "make_module",
    [tiny_models.kl_autoencoder, tiny_models.tiny_autoencoder, stem_autoencoder],
)
@torch.inference_mode()
def test_latents_have_the_announced_shape_and_decode_to_the_images_size(make_module):
    codec = wrap_autoencoder(make_module())
    latents = codec.encode(IMAGES)
    stride = codec.latent_stride
    assert tuple(latents.shape) == (2, codec.channels, 16 // stride, 24 // stride)
    assert codec.decode(latents).shape == IMAGES.shape
    assert codec.stride % stride == 0


@pytest.mark.parametrize("shift", [None, 0.25])
@torch.inference_mode()
def test_kl_latents_are_the_posterior_mode_scaled(shift):
    module = tiny_models.kl_autoencoder(shift_factor=shift)
    codec = wrap_autoencoder(module)
    mode = module.encode(IMAGES).latent_dist.mean
    latents = codec.encode(IMAGES)
    torch.testing.assert_close(latents, (mode - (shift or 0.0)) * 0.18215)
    torch.testing.assert_close(codec.decode(latents), module.decode(mode).sample)


@torch.inference_mode()
def test_kl_encoding_draws_nothing():
    codec = wrap_autoencoder(tiny_models.kl_autoencoder())
    assert torch.equal(codec.encode(IMAGES), codec.encode(IMAGES))


@torch.inference_mode()
def test_tiny_latents_are_scaled():
    module = tiny_models.tiny_autoencoder()
    codec = wrap_autoencoder(module)
    raw = module.encode(IMAGES).latents
    torch.testing.assert_close(codec.encode(IMAGES), raw * 1.5)
    torch.testing.assert_close(codec.decode(raw * 1.5), module.decode(raw).sample)


def test_the_identity_returns_what_it_is_given():
    codec = IdentityCodec()
    assert torch.equal(codec.decode(codec.encode(IMAGES)), IMAGES)
    assert (codec.channels, codec.latent_stride) == (3, 1)


def test_an_unknown_autoencoder_is_refused_with_the_ones_there_are():
    with pytest.raises(
        ValueError, match="unsupported autoencoder Linear; supported: StemAutoencoder, "
    ):
        wrap_autoencoder(torch.nn.Linear(1, 1))
