"""`gpu`: what a CUDA card does with every kind of training and what follows, in 15 minutes and without a network.

    python -m benchmarks gpu                  a table in gpu.md, the same as JSON in gpu.json
    python -m benchmarks gpu --cpu            the same steps on the processor, in small, to see that they run
    python -m benchmarks gpu --only lora qlora

Models are random, made here by the size of the card; rows are drawn words. Each step works in processes of its own, as
`python -m tasks STAGE` starts them, and in a time of its own: one that fails leaves a line with its reason.
"""
