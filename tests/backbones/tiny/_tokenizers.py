"""Tokenizers of the tiny pipelines: one token a byte or a letter, in the file formats of the real ones."""

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import GemmaTokenizer, Qwen2Tokenizer, T5Tokenizer

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHAT = (
    "{% for message in messages %}" + START + "{{ message.role }}\n{{ message.content }}" + END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
)
"""The shape of Qwen's chat template, for plain messages."""


def qwen_tokenizer() -> Any:
    """A ``Qwen2Tokenizer`` of 259 tokens, padding on the right, with a chat template."""
    symbols = [PAD, START, END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(vocab={symbol: k for k, symbol in enumerate(symbols)}, merges=[], padding_side="right")
    tokenizer.add_special_tokens({"additional_special_tokens": [START, END]})
    tokenizer.chat_template = CHAT
    return tokenizer


def gemma_tokenizer(sentences: Sequence[str] = ()) -> Any:
    """A ``GemmaTokenizer`` that puts ``<bos>`` in front; one token a byte, but for ``sentences``, one token each."""
    symbols = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{k:02X}>" for k in range(256))]
    tokenizer = GemmaTokenizer(vocab={symbol: k for k, symbol in enumerate(symbols)}, merges=[])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<bos> $A", None, [("<bos>", 2)])
    tokenizer.add_tokens([AddedToken(sentence, normalized=False) for sentence in sentences])
    return tokenizer


def t5_tokenizer() -> Any:
    """A ``T5Tokenizer`` of letters, with </s> at the end and <pad> as 0."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -5.0)]
    return T5Tokenizer(vocab=[*special, *((letter, -8.0) for letter in letters)], extra_ids=0, model_max_length=512)
