"""Bytes of tokens, and text from tokens that arrive one at a time."""

import codecs
from collections.abc import Sequence
from functools import cache

from minimind.config import UserError


@cache
def byte_of_character() -> dict[str, int]:
    """The byte that each of the 256 characters of a byte-level vocabulary stands for (the table of GPT-2).

    Printable Latin-1 characters stand for themselves; the other bytes, in order, follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    for offset, byte in enumerate(sorted(set(range(256)) - set(printable))):
        table[chr(0x100 + offset)] = byte
    return table


@cache
def character_of_byte() -> dict[int, str]:
    """The inverse of `byte_of_character`."""
    return {byte: character for character, byte in byte_of_character().items()}


def byte_level(text: str) -> str:
    """The text as a byte-level vocabulary spells it: one character per UTF-8 byte."""
    table = character_of_byte()
    return "".join(table[byte] for byte in text.encode())


def piece_bytes(piece: str) -> bytes:
    """The bytes of a vocabulary entry; an entry outside the byte alphabet stands for itself."""
    table = byte_of_character()
    if all(character in table for character in piece):
        return bytes(table[character] for character in piece)
    return piece.encode()


class StreamDecoder:
    """Turns ids into text as they come. All pieces joined equal `Tokenizer.decode` of all ids.

    A character whose bytes are spread over several tokens is held back until it is whole. Bytes that can no longer
    become a character are given out as U+FFFD, exactly where the full decode has them.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text completed by this id, empty in the middle of a character. UserError: id outside the vocabulary."""
        if not 0 <= token < len(self._pieces):
            raise UserError(f"token id {token} is outside the vocabulary of {len(self._pieces)} entries")
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        """What is left when no more ids come: U+FFFD for an unfinished character, else nothing. Starts afresh."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
