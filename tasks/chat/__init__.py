"""Chat templates and tokenizers, for all who render a dialogue."""
