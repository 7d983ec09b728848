"""The data contract: canonical rows, the ledger of those that left, the columns of predictions."""
