"""Orchestration: what runs, when, and what a person sees of it. Holds no machine learning."""
