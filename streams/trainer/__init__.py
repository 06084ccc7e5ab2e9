"""The trainer: a process of its own that fine-tunes the importance net on settled samples, judges and announces it.

- ``plan``: from settings to what ``models`` is told; ``intake``: the samples topic into the replay window
- ``attempt``: one fine-tune and its verdict, synchronous; ``process``: when, and what becomes of it
- ``offline``: the same beside an evaluation, in step with its records
- ``submission``: a candidate from a file through the same gate
- ``metrics``, ``site``, ``scalars``: what it tells; ``child``: a worker's own trainer, started anew when it dies
"""
