"""Tiny stand-ins for the models that quality is measured with, saved as their authors publish them."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from asap.benchmark.quality.clip import AestheticHead
from asap.benchmark.quality.distances import INCEPTION
from asap.benchmark.quality.plugins import AESTHETIC, HPS

WIDE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def tiny_clip() -> CLIPModel:
    torch.manual_seed(0)
    words = {"vocab_size": 300, "max_position_embeddings": 16, "eos_token_id": 257, "bos_token_id": 256}
    config = CLIPConfig(
        text_config=WIDE | words,
        vision_config=WIDE | {"image_size": 32, "patch_size": 8},
        projection_dim=12,
        logit_scale_init_value=2.0,
    )
    return CLIPModel(config).eval()


def save_weights(root: Path, clip: CLIPModel) -> Path:
    """A user's folder with every model that CLIP carries."""
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {name: place for place, name in enumerate(letters)}
    vocabulary |= {"<|startoftext|>": 256, "<|endoftext|>": 257}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)
    looks = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for name in ("clipscore", "pickscore", "hpsv2.1", "aesthetic"):
        clip.save_pretrained(root / name)
        CLIPProcessor(image_processor=looks, tokenizer=tokenizer).save_pretrained(root / name)
    torch.save({"state_dict": open_clip_names(clip)}, root / "hpsv2.1" / HPS)
    torch.manual_seed(1)
    torch.save(AestheticHead(12).state_dict(), root / "aesthetic" / AESTHETIC)
    torch.jit.script(Inception()).save(str(root / INCEPTION))  # type: ignore[no-untyped-call]
    return root


class Inception(torch.nn.Module):
    """Mean and square of each channel, under the interface of the real file."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        mean = images.float().mean(dim=[2, 3]) / 255
        return torch.cat([mean, mean**2], 1) if return_features else mean


def open_clip_names(model: CLIPModel) -> dict[str, torch.Tensor]:
    """The tensors of a CLIP as ``open_clip`` names them."""
    state = dict(model.state_dict())
    found = {
        "logit_scale": state["logit_scale"],
        "text_projection": state["text_projection.weight"].T,
        "visual.proj": state["visual_projection.weight"].T,
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
    }
    for ours, theirs in (
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
        ("text_model.final_layer_norm", "ln_final"),
    ):
        found |= {f"{theirs}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    inner = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for side, prefix in (("vision_model", "visual."), ("text_model", "")):
        for layer in range(2):
            here, there = f"{side}.encoder.layers.{layer}", f"{prefix}transformer.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for ours, theirs in (inner | {"self_attn.out_proj": "attn.out_proj"}).items():
                    found[f"{there}.{theirs}.{kind}"] = state[f"{here}.{ours}.{kind}"]
                parts = [state[f"{here}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                found[f"{there}.attn.in_proj_{kind}"] = torch.cat(parts)
    return found
