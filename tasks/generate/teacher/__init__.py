"""Teachers as distilabel wants them: a server or a local model, or the grammar."""
