"""Text to numbers and back: the tokenizer, chat rendering with masks, streaming decoding, training."""

from minimind.tokenizer.chat import Rendered
from minimind.tokenizer.stream import StreamDecoder
from minimind.tokenizer.tokenizer import Tokenizer

__all__ = ["Rendered", "StreamDecoder", "Tokenizer"]
