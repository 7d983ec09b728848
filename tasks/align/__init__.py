"""The stage `align`; stage.py declares it, run.py does its work."""
