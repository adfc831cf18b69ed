"""The same dictionary in the on-disk formats of SAELens and of sparsify.

Both libraries feed the model's activations in as they are, so the input scale has to go into the tensors:
ReLU and TopK do not mind a positive factor, hence with b_enc / scale and b_dec / scale the same latents
fire, activations come out divided by the scale, the reconstruction is the same and decoder rows keep norm 1.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from fingerprint.sae.artifact import Sae
from fingerprint.storage import write_json, written_whole


def export_saelens(sae: Sae, directory: Path) -> None:
    """Write cfg.json and sae_weights.safetensors as SAELens 6 has them for its architecture "topk".

    Its hook name is TransformerLens' for the same place; load the model there without weight processing.
    """
    tensors = _unscaled(sae)
    autoencoder = sae.autoencoder
    config = {
        "architecture": "topk",
        "d_in": autoencoder.width,
        "d_sae": autoencoder.n_latents,
        "k": autoencoder.k,
        "rescale_acts_by_decoder_norm": False,
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        "metadata": {
            "model_name": sae.provenance.base,
            "model_revision": sae.provenance.revision,
            "hook_name": f"blocks.{sae.layer}.hook_resid_post",
            "prepend_bos": True,
        },
    }
    weights = {**tensors, "W_enc": tensors["W_enc"].T.contiguous()}
    with written_whole(directory) as fresh:
        save_file(weights, fresh / "sae_weights.safetensors")
        write_json(fresh / "cfg.json", config)


def export_sparsify(sae: Sae, directory: Path) -> None:
    """Write cfg.json and sae.safetensors as sparsify 1.3 has them for a TopK autoencoder.

    sparsify finds the place by the folder's name: ``layers.<layer>``.
    """
    tensors = _unscaled(sae)
    autoencoder = sae.autoencoder
    config = {
        "activation": "topk",
        "d_in": autoencoder.width,
        "num_latents": autoencoder.n_latents,
        "k": autoencoder.k,
        "normalize_decoder": True,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
    }
    weights = {
        "encoder.weight": tensors["W_enc"],
        "encoder.bias": tensors["b_enc"],
        "W_dec": tensors["W_dec"],
        "b_dec": tensors["b_dec"],
    }
    with written_whole(directory) as fresh:
        save_file(weights, fresh / "sae.safetensors")
        write_json(fresh / "cfg.json", config)


def _unscaled(sae: Sae) -> dict[str, Tensor]:
    """The tensors of the same autoencoder over the model's own units."""
    tensors = sae.tensors()
    scale = tensors.pop("scale")
    return {name: v / scale if name in {"b_enc", "b_dec"} else v for name, v in tensors.items()}
