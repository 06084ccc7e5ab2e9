"""How well does the detector do on a user's own log? Random behaviours are mixed in, and what becomes of them is known.

- ``trial``: ``pollute``, a mixture for every family and seed through the same shards; ``figures``: what is found
- ``log``: the log as it was decoded, and mixtures of it as records
- ``truth``: which samples of a mixture mislead who learns from them
"""
