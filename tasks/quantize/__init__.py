"""The stage `quantize`; stage.py declares it, run.py does its work."""
