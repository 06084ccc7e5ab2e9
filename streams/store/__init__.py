"""The object store under checkpoints and models."""
