"""The reserved entries at the head of every vocabulary trained here: ids 0 to 35, never made from plain text.

The layout is that of the public minimind-3 tokenizer, except that ids 27 and 28 are the answer tags.
"""

END_OF_TEXT, MESSAGE_START, MESSAGE_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# Dropped when a text is decoded for reading.
STRUCTURAL = (
    END_OF_TEXT,
    MESSAGE_START,
    MESSAGE_END,
    *(f"<|{name}_{side}|>" for name in ("object_ref", "box", "quad", "vision") for side in ("start", "end")),
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|audio_start|>",
    "<|audio_end|>",
    "<|audio_pad|>",
    "<tts_pad>",
    "<tts_text_bos>",
    "<tts_text_eod>",
    "<tts_text_bos_single>",
)

# Kept when a text is decoded for reading: what the assistant writes or reads between its words.
TAGS = (
    *(f"<{slash}{name}>" for name in ("tool_call", "tool_response", "think", "answer") for slash in ("", "/")),
    *(f"<|buffer{number}|>" for number in range(3, 10)),
)

RESERVED = STRUCTURAL + TAGS

# The tags that become reserved ids inside the assistant's own words.
ASSISTANT_TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>")

# The three control tokens of the tokenizers that can be loaded: today's names, then those of the first generation.
CONTROL_NAMES = ((END_OF_TEXT, MESSAGE_START, MESSAGE_END), ("<unk>", "<s>", "</s>"))
