"""What carries out the work of a data stage: processes of this machine, or tasks on the nodes of a Ray cluster."""
