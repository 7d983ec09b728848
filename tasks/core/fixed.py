"""What is the same in every process that makes results, whoever starts it."""

FIXED = {
    "PYTHONHASHSEED": "0",  # peft writes sets in hash order
    # Threads that wait spin for some microseconds, then sleep: with no spin training takes 1.6 times as long on quiet
    # cores, with libgomp's own 300,000 rounds twice as long on busy ones.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "3000",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # torch: needed for deterministic cuBLAS
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled at run time, and imports need not load the compiler: 2 s a stage
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",  # the bars of libraries: temper draws its own, and a log has no use for them
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TRANSFORMERS_VERBOSITY": "warning",
    "PYTHONWARNINGS": "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",  # peft 0.21, at each adapter
}
"""Environment of every stage: what must be the same for two runs to give the same bytes, and no telemetry."""
