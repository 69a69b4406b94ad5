"""Records from files, tokens on disk, packed batches, and streams that know their place."""
