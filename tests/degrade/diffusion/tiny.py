"""Tiny pipelines with random weights, built from configurations alone and saved as diffusers folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asap.backbones.mini.tokenizer import build_tokenizer

__all__ = ["CONTROLNETS", "PIPELINES", "SIZE", "save_tiny"]

SIZE = 64
"""Pixels that every pipeline here paints at; give it as ``size`` to those whose configuration has none."""
WORDS = ["a photograph of a hand with six fingers"]
WIDTH = 16
LEVELS = (8, 16)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def _vae(latent_channels: int = 4) -> Any:  # noqa: ANN401
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=SIZE,
        shift_factor=0.1,
        scaling_factor=0.5,
    )
    vae.decoder.conv_out.weight.data *= 4.0  # images with contrast, in which small changes of the latents show
    return vae


def _clip(projected: bool = False) -> Any:  # noqa: ANN401
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = _clip_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _clip_tokenizer() -> Any:  # noqa: ANN401
    return build_tokenizer(WORDS, 32)


def _t5(width: int = WIDTH) -> tuple[Any, Any]:
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    letters = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0)]
    tokenizer = T5TokenizerFast(vocab=[*letters, *((chr(i), -3.0) for i in range(33, 127))], extra_ids=0)
    config = T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2)
    return T5EncoderModel(config), tokenizer


def _qwen_tokenizer() -> Any:  # noqa: ANN401
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    symbols = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[])
    tokenizer.chat_template = CHAT
    return tokenizer


def _unet(channels: int, *, sdxl: bool) -> Any:  # noqa: ANN401
    from diffusers import UNet2DConditionModel

    further = {"in_channels": channels, "sample_size": SIZE // 2, "out_channels": 4, "layers_per_block": 1}
    return UNet2DConditionModel(**_levels(sdxl), **further, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))


def _levels(sdxl: bool) -> dict[str, Any]:
    """What a UNet and its ControlNet have in common."""
    common: dict[str, Any] = {
        "block_out_channels": LEVELS,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "cross_attention_dim": 2 * WIDTH if sdxl else WIDTH,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    if sdxl:
        extra = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "use_linear_projection": True}
        common |= extra | {"projection_class_embeddings_input_dim": 6 * 8 + WIDTH}
    return common


def _sd() -> Any:  # noqa: ANN401
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline

    return StableDiffusionInpaintPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(),
        unet=_unet(9, sdxl=False),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl() -> Any:  # noqa: ANN401
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=_unet(4, sdxl=True),
        scheduler=EulerDiscreteScheduler(),
    )


def _sd3() -> Any:  # noqa: ANN401
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    text, tokenizer = _t5(2 * WIDTH)
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 2,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=32,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latent_channels=16),
        text_encoder=_clip(projected=True),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_clip(projected=True),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=text,
        tokenizer_3=tokenizer,
    )


def _flux_shape() -> dict[str, Any]:
    return {
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "pooled_projection_dim": WIDTH,
        "axes_dims_rope": (4, 4, 8),
        "guidance_embeds": True,
    }


def _flux(fill: bool = False) -> Any:  # noqa: ANN401
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxPipeline, FluxTransformer2DModel

    text, tokenizer = _t5()
    # a filled image is packed with itself, its masked self and a mask of (8 or here 2) ** 2 pixels to a latent
    channels = {"in_channels": 16 + 16 + 4 * 4, "out_channels": 16} if fill else {"in_channels": 16}
    return (FluxFillPipeline if fill else FluxPipeline)(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=text,
        tokenizer_2=tokenizer,
        transformer=FluxTransformer2DModel(**_flux_shape(), **channels),
    )


def _qwen() -> Any:  # noqa: ANN401
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _qwen_tokenizer()
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    text = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=_qwen_text(tokenizer)
            | {"rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e4}},
            vision_config={
                "depth": 1,
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "num_heads": 2,
                "out_hidden_size": WIDTH,
            },
        )
    )
    return QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        transformer=QwenImageTransformer2DModel(**_qwen_shape()),
    )


def _qwen_text(tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
    }


def _qwen_shape() -> dict[str, Any]:
    return {
        "in_channels": 16,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "axes_dims_rope": (4, 4, 8),
    }


def _z_shape() -> dict[str, Any]:
    return {"dim": 32, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}


def _z_image() -> Any:  # noqa: ANN401
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        **_z_shape(),
        in_channels=4,
        n_layers=2,
        cap_feat_dim=WIDTH,
        axes_dims=[4, 4, 8],
        axes_lens=[1024, 64, 64],
    )
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=Qwen3Model(Qwen3Config(**_qwen_text(tokenizer))),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _flux2() -> Any:  # noqa: ANN401
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _qwen_tokenizer()
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )
    text = _qwen_text(tokenizer) | {"num_hidden_layers": 28}  # the call reads layers 9, 18 and 27
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**text)),
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    )


def _sd_controlnet() -> Any:  # noqa: ANN401
    from diffusers import ControlNetModel

    return ControlNetModel(
        **_levels(sdxl=False), layers_per_block=1, in_channels=4, conditioning_embedding_out_channels=(8, 16)
    )


def _sdxl_controlnet() -> Any:  # noqa: ANN401
    from diffusers import ControlNetModel

    return ControlNetModel(
        **_levels(sdxl=True), layers_per_block=1, in_channels=4, conditioning_embedding_out_channels=(8, 16)
    )


def _sdxl_union() -> Any:  # noqa: ANN401
    from diffusers import ControlNetUnionModel

    return ControlNetUnionModel(
        **_levels(sdxl=True),
        layers_per_block=1,
        in_channels=4,
        conditioning_embedding_out_channels=(8, 16),
        num_trans_channel=LEVELS[0],
        num_trans_head=2,
        num_proj_channel=LEVELS[0],
    )


def _flux_controlnet(modes: int | None = None) -> Any:  # noqa: ANN401
    from diffusers import FluxControlNetModel

    return FluxControlNetModel(**_flux_shape(), in_channels=16, num_mode=modes)


def _qwen_controlnet() -> Any:  # noqa: ANN401
    from diffusers import QwenImageControlNetModel

    return QwenImageControlNetModel(**_qwen_shape(), extra_condition_channels=4)


def _z_controlnet() -> Any:  # noqa: ANN401
    from diffusers import ZImageControlNetModel

    return ZImageControlNetModel(
        **_z_shape(),
        control_layers_places=[0, 1],
        control_refiner_layers_places=[0],
        control_in_dim=9,
        add_control_noise_refiner="control_noise_refiner",
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "sd": _sd,
    "sdxl": _sdxl,
    "sd3": _sd3,
    "flux": _flux,
    "flux-fill": lambda: _flux(fill=True),
    "flux2-klein": _flux2,
    "qwen": _qwen,
    "z-image": _z_image,
}
CONTROLNETS: dict[str, Callable[[], Any]] = {
    "sd-controlnet": _sd_controlnet,
    "sdxl-controlnet": _sdxl_controlnet,
    "sdxl-union": _sdxl_union,
    "flux-controlnet": _flux_controlnet,
    "flux-union": lambda: _flux_controlnet(modes=7),
    "qwen-controlnet": _qwen_controlnet,
    "z-image-controlnet": _z_controlnet,
}


def save_tiny(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write the tiny pipeline or ControlNet ``kind`` to ``folder`` and return it; weights depend on ``seed`` alone.

    The layers of a ControlNet that are zero before training are filled, so that its maps make a difference.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = {**PIPELINES, **CONTROLNETS}[kind]()
        if kind in CONTROLNETS:
            for parameter in model.parameters():
                if parameter.ndim > 1 and not parameter.any():
                    torch.nn.init.normal_(parameter)
    model.save_pretrained(str(folder))
    return folder
