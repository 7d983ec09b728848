"""The stage `judge`; stage.py declares it, run.py does its work."""
