"""The stage `train`; stage.py declares it, run.py does its work."""
