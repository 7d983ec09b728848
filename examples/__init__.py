"""What is there to be copied: a stage, and the rows of two runs of the gallery."""
