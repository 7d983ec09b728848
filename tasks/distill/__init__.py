"""The stage `distill`; stage.py declares it, run.py does its work."""
