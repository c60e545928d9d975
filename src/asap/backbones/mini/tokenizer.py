"""A byte-pair vocabulary in which every word of the training captions is one token, in CLIP's file format.

Byte-pair encoding is run to its end: merging goes on until each known word is a single symbol. Any other text still
splits into smaller known pieces, down to single bytes, so no prompt is refused.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

__all__ = ["build_tokenizer", "merge_words"]

START, END, LAST = "<|startoftext|>", "<|endoftext|>", "</w>"
Word = tuple[str, ...]


def merge_words(words: Counter[str]) -> list[tuple[str, str]]:
    """Merges, most frequent first, after which every word is one symbol that ends in ``</w>``.

    Ties are broken by the symbols themselves, so the result depends on the counts alone.
    """
    split: dict[Word, int] = {(*word[:-1], word[-1] + LAST): count for word, count in words.items()}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, count in split.items():
            for pair in itertools.pairwise(symbols):
                pairs[pair] += count
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        split = {_join(symbols, best): count for symbols, count in split.items()}


def _join(symbols: Word, pair: tuple[str, str]) -> Word:
    """Each occurrence of the pair as one symbol."""
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return tuple(joined)


def build_tokenizer(captions: Sequence[str], max_length: int) -> Any:  # noqa: ANN401  transformers has no types
    """A ``CLIPTokenizer`` for these captions that pads and cuts to ``max_length`` tokens, start and end included."""
    splitter = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[]).backend_tokenizer
    counts: Counter[str] = Counter()
    for caption, times in Counter(captions).items():
        normal = splitter.normalizer.normalize_str(caption)
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(normal):
            counts[word] += times
    merges = merge_words(counts)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = [*letters, *(letter + LAST for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys([*symbols, START, END]))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)
