"""The stage `report`; stage.py declares it, run.py does its work."""
