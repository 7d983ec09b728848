"""What temper costs beside the work itself, as ratios measured side by side: `python -m benchmarks [NAME] [--full]`.

Each benchmark works in a copy of this repository in a temporary folder, with a Prefect server of its own.
"""
