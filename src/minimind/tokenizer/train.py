"""Training a tokenizer: byte-level BPE whose common characters are whole from the start.

Plain byte-level BPE (arXiv 1508.07909 over bytes) spends its merges where they shorten the text most, so a rarer
Chinese character stays three bytes while long words are whole. A small model reads characters better than bytes.
Therefore the first merges here build the characters that the corpus uses, and ordinary BPE fills the rest:

1. bytes b1 b2 -> prefix, prefix b3 -> character, for the most frequent characters of three bytes (Chinese, its signs);
2. BPE on the corpus in which these are already single symbols.

The result is an ordinary tokenizer.json. Two line breaks never share a token, so that the blank line before an answer
has the same ids in a prompt, which ends there, and in training, where the answer follows.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from re import compile as pattern

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from minimind.config import UserError
from minimind.tokenizer.special import RESERVED, STRUCTURAL
from minimind.tokenizer.stream import byte_level, byte_of_character
from minimind.tokenizer.tokenizer import Tokenizer

# A character seen less often is not worth an entry: the model could not learn it.
CHARACTER_MINIMUM = 5
# Rarer characters are left in bytes when the others already cover this share of the text.
CHARACTER_COVERAGE = 0.9995

# Symbols for prefixes and characters while BPE runs: a private plane, apart from the byte alphabet.
PRIVATE_PLANE = 0xF0000
THREE_BYTES = pattern("[\u0800-\ud7ff\ue000-\uffff]")
# The same characters in byte-level spelling: a first byte E0 to EF, which spells itself, and two more.
SPELLED_CHARACTER = pattern("[\u00e0-\u00ef]..")


def train(
    texts: Iterable[str],
    vocab_size: int = 6400,
    split_digits: bool = False,
    character_share: float = 0.4,
    progress: bool = False,
) -> Tokenizer:
    """A tokenizer for these texts, the same for the same texts in the same order.

    `vocab_size`: entries, of which 36 are reserved and 256 are bytes; a corpus that is too small gives fewer.
    `split_digits`: every digit is a token of its own. `character_share`: how much of the room that is left may go to
    whole characters before words get theirs. `progress`: show a bar. Texts are read once and kept in memory.
    UserError: vocab_size too small, or no text.
    """
    least = len(RESERVED) + 256
    if vocab_size < least:
        raise UserError(f"vocab_size {vocab_size} is too small; use at least {least}, for reserved entries and bytes")
    texts = list(texts)
    if not any(texts):
        raise UserError("there is no text to train a tokenizer on; check the data")
    head = _character_merges(_count_characters(texts), int(character_share * (vocab_size - least)))
    symbols = {merged: chr(PRIVATE_PLANE + index) for index, merged in enumerate(a + b for a, b in head)}
    merges = _learn(_symbolic(texts, symbols, split_digits), list(symbols.values()), vocab_size, progress)
    spelled = {symbol: merged for merged, symbol in symbols.items()}
    return _assemble(head, [(_spell(a, spelled), _spell(b, spelled)) for a, b in merges], split_digits)


def _count_characters(texts: list[str]) -> Counter[str]:
    """How often each character of three UTF-8 bytes is seen."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(THREE_BYTES.findall(text))
    return counts


def _character_merges(counts: Counter[str], room: int) -> list[tuple[str, str]]:
    """At most `room` merges that make the most frequent characters whole: all prefixes first, then the characters."""
    enough = CHARACTER_COVERAGE * counts.total()
    prefixes: set[str] = set()
    characters: list[str] = []
    covered = 0
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        spelling = byte_level(character)
        entries = len(prefixes | {spelling[:2]}) + len(characters) + 1
        if count < CHARACTER_MINIMUM or covered >= enough or entries > room:
            break
        prefixes.add(spelling[:2])
        characters.append(spelling)
        covered += count
    first = [(prefix[0], prefix[1]) for prefix in sorted(prefixes)]
    return first + [(spelling[:2], spelling[2]) for spelling in sorted(characters)]


def _pre_tokenizer(split_digits: bool) -> pre_tokenizers.PreTokenizer:
    """The saved pre-tokenizer: the words of GPT-2, bytes as characters."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words]) if split_digits else words


def _symbolic(texts: list[str], symbols: dict[str, str], split_digits: bool) -> Iterator[str]:
    """Words of each text, separated by spaces, with the known characters and prefixes as single symbols."""
    lines = pre_tokenizers.Split(Regex(r"\n(?=\n)"), "isolated")
    words = pre_tokenizers.Sequence([lines, _pre_tokenizer(split_digits)])
    for text in texts:
        line = " ".join(word for word, _ in words.pre_tokenize_str(text))
        yield SPELLED_CHARACTER.sub(lambda found: _symbol(found.group(), symbols), line)


def _symbol(spelling: str, symbols: dict[str, str]) -> str:
    """A character of three bytes as its symbol, or as prefix symbol and byte, or as bytes."""
    return symbols.get(spelling) or symbols.get(spelling[:2], spelling[:2]) + spelling[2]


def _learn(lines: Iterator[str], symbols: list[str], vocab_size: int, progress: bool) -> list[tuple[str, str]]:
    """Ordinary BPE over words of symbols: its merges, in order."""
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(RESERVED),
        initial_alphabet=[*byte_of_character(), *symbols],
        show_progress=progress,
        special_tokens=[],
    )
    engine.train_from_iterator(lines, trainer)
    return [(a, b) for a, b in json.loads(engine.to_str())["model"]["merges"]]


def _spell(piece: str, spelled: dict[str, str]) -> str:
    return "".join(spelled.get(symbol, symbol) for symbol in piece)


def _assemble(head: list[tuple[str, str]], learned: list[tuple[str, str]], split_digits: bool) -> Tokenizer:
    """Reserved entries, bytes, then one entry per merge."""
    merges = head + learned
    pieces = [*RESERVED, *sorted(byte_of_character()), *(a + b for a, b in merges)]
    assert len(set(pieces)) == len(pieces), "two merges build the same entry"
    engine = Engine(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges))
    engine.pre_tokenizer = _pre_tokenizer(split_digits)
    engine.decoder = decoders.ByteLevel()
    engine.add_tokens([AddedToken(name, special=name in STRUCTURAL, normalized=False) for name in RESERVED])
    return Tokenizer(json.loads(engine.to_str()), "the trained tokenizer")
