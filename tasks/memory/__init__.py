"""What training takes of a card's memory, or the host's, from a model's configuration alone."""
