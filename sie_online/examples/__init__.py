"""Runnable examples: what a training job does with the weights, and whether they help on your own samples.

    python -m sie_online.examples.pytorch --help    a small net, read with ``SampleDataset`` and a ``DataLoader``
    python -m sie_online.examples.sklearn --help    scikit-learn's ``partial_fit``, read with ``SampleSubscriber``

- ``trial``: train twice, with and without weights; score on what came later; say how sure that is
- ``samples``: settled samples in columns, from a Parquet file
- ``command``: options, errors and output, the same for both

Made to be read and copied. They need what a subscriber installs, and PyTorch or scikit-learn.
"""
