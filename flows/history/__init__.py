"""Past runs: read, listed, rebuilt, registered, published."""
