"""What a tokenizer does to a text: how short it makes it, and what it leaves unreadable."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from re import compile as pattern
from typing import Any

from minimind.tokenizer.tokenizer import Tokenizer

CHINESE = pattern("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
CODE_SIGNS = pattern(r"[{}()\[\];=<>_\\/*#`|&+]")
WORD = pattern(r"\S+")


@dataclass
class LanguageReport:
    """Sums over the texts of one language; the ratios below are per token or per word."""

    texts: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unreadable_tokens: int = 0
    round_trip_failures: int = 0

    @property
    def characters_per_token(self) -> float:
        return self.characters / max(self.tokens, 1)

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / max(self.tokens, 1)

    @property
    def tokens_per_word(self) -> float:
        """Fertility. A word is a run between spaces, a Chinese character a word of its own."""
        return self.tokens / max(self.words, 1)

    @property
    def unreadable_share(self) -> float:
        """Tokens that are a part of a character, as a share of all tokens."""
        return self.unreadable_tokens / max(self.tokens, 1)


@dataclass
class Report:
    """One row for each language found; `table()` is Markdown, `to_dict()` is JSON."""

    vocab_size: int
    unreadable_entries: int
    languages: dict[str, LanguageReport]

    @property
    def round_trip_failures(self) -> int:
        """Texts that are not the same after encoding and decoding: 0 for every tokenizer trained here."""
        return sum(row.round_trip_failures for row in self.languages.values())

    def to_dict(self) -> dict[str, Any]:
        ratios = ("characters_per_token", "bytes_per_token", "tokens_per_word", "unreadable_share")
        return {
            "vocab_size": self.vocab_size,
            "unreadable_entries": self.unreadable_entries,
            "round_trip_failures": self.round_trip_failures,
            "languages": {
                name: asdict(row) | {ratio: round(getattr(row, ratio), 4) for ratio in ratios}
                for name, row in self.languages.items()
            },
        }

    def table(self) -> str:
        heads = "language|texts|tokens|characters/token|bytes/token|tokens/word|unreadable tokens|round trip"
        lines = [f"| {heads.replace('|', ' | ')} |", "| --- |" + " ---: |" * heads.count("|")]
        for name, row in self.languages.items():
            cells = (
                name,
                f"{row.texts:,}",
                f"{row.tokens:,}",
                f"{row.characters_per_token:.2f}",
                f"{row.bytes_per_token:.2f}",
                f"{row.tokens_per_word:.2f}",
                f"{row.unreadable_share:.2%}",
                "exact" if not row.round_trip_failures else f"{row.round_trip_failures} differ",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", f"{self.vocab_size:,} entries, {self.unreadable_entries:,} of them no whole characters."]
        return "\n".join(lines) + "\n"


def language_of(text: str) -> str:
    """`zh` from a tenth of Chinese characters on, `code` where signs of program text stand close, else `en`.

    A rough rule for a report, not a detector: the kind of text that decides how well it compresses.
    """
    visible = max(len(text) - text.count(" "), 1)
    if len(CODE_SIGNS.findall(text)) > 0.08 * visible:
        return "code"
    return "zh" if len(CHINESE.findall(text)) > 0.1 * visible else "en"


def report(tokenizer: Tokenizer, texts: Iterable[str]) -> Report:
    """Compression, fertility, unreadable pieces and round trip of these texts, by language. Reads all texts first."""
    texts = list(texts)
    unreadable = [not _is_readable(piece) for piece in tokenizer.pieces]
    languages = {name: LanguageReport() for name in ("zh", "en", "code")}
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        row = languages[language_of(text)]
        row.texts += 1
        row.characters += len(text)
        row.bytes += len(text.encode())
        row.words += len(CHINESE.findall(text)) + len(WORD.findall(CHINESE.sub(" ", text)))
        row.tokens += len(ids)
        row.unreadable_tokens += sum(unreadable[token] for token in ids)
        row.round_trip_failures += tokenizer.decode(ids) != text
    found = {name: row for name, row in languages.items() if row.texts}
    return Report(tokenizer.vocab_size, sum(unreadable), found)


def _is_readable(piece: bytes) -> bool:
    """Whether the bytes are whole characters."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
