"""The stages: machine learning only. Imports neither prefect nor dvc."""
