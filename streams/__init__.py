"""All input and output: the Faust app and its batched transport, topics, publishers,
checkpoints, metrics, and ``streams.cli``, the ``sie`` command.

Nothing here changes what a row says; that is ``sie_online``'s business alone.
"""
