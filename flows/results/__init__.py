"""What a run shows of its results: artifacts, pages, charts."""
