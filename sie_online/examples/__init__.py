"""Runnable examples: what a training job does with the weights, and whether they help on your own samples.

One for each library, ``python -m sie_online.examples.<name> --help``:

- ``river``: ``learn_one(x, y, w=w)``, sample by sample
- ``vowpal_wabbit``: the importance behind the label
- ``lightgbm``: ``Dataset(…, weight=…)``
- ``sklearn``: ``partial_fit(…, sample_weight=…)``
- ``pytorch``: ``weight=`` of the loss, samples read with ``SampleDataset`` and a ``DataLoader``
- ``duckdb``, ``polars``: joined to a table of yours; weighted aggregates and a training table
- ``soft_targets``: no weights, but labels softened by the published probability, where your hold-out likes that

and what they share:

- ``trial``: train without weights, with them, and with them shuffled; ``verdict``: what came of it, in a sentence
- ``hold_out``: what is learned and what is scored; ``scoring``: how well, and how sure a difference is
- ``samples``: settled samples in columns, from a Parquet file or the topic
- ``command``: options, errors and output; ``tables``: more of them, for examples of tables

Made to be read and copied. They need what a subscriber installs, and their library.
"""
