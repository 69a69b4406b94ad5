"""The language model: configuration, parts, cache, counting, and weights on disk."""
