"""A Llama in the forms of others, both ways: Meta's own, torchtune's and litgpt's, all pickled tensors in .pth or .pt.

One table of names and one of sizes serve the stage export, which writes these forms, and the stage base, which reads
them.
"""

FORMS = {
    "meta": ("consolidated.*.pth", "params.json"),
    "torchtune": ("torchtune_model_*.pt", "params.json"),
    "litgpt": ("lit_model.pth", "model_config.yaml"),
}
"""By form: how its files of weights are called, and which file says its sizes. torchtune itself writes none; its recipe
knows them, so Meta's is asked for."""
