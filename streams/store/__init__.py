"""The object store under checkpoints and models: small named objects, durable once written. Knows nothing of either.

- ``backend``: the operations that a store must offer (``Backend``), a local disk's, and ``open_backend`` for a URL
- ``probe``: whether the store answers and may be written
"""
