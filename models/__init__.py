"""The models: what they are, how they are trained, judged and stored. Runs on a bare GPU host.

Needs torch, numpy, pyarrow, safetensors, and of ``sie_online`` the ``contracts``, ``hyperparameters`` and ``metrics``;
nothing here knows Kafka or settings files. A worker imports ``snapshot`` and ``forward``, and of ``noise`` ``artifact``
and ``forward``, which need no torch. All but ``noise`` is about the importance net.

- ``samples``: a table of settled samples as columns; ``window``: which of them a fine-tune sees
- ``inputs``: the exact input layout; ``forward``: the same scores in numpy; ``attribution``: which inputs moved them
- ``snapshot``: the artifact, written whole, verified on loading; ``manifest``: what is said of it; ``ulid``: its name
- ``net``, ``influence``, ``loss``, ``data``, ``step``, ``tune``: from architecture, target and loss to ``fine_tune``
- ``ways``: how a step can run (bf16, compiled, as a CUDA graph); ``body``: hidden layers on a CPU, gradient included
- ``learner``, ``metrics``, ``gate``: what a candidate must show; ``publish``: artifact, manifest and verdict in one
- ``settings``: what all this can be told; ``errors``: what can go wrong
- ``noise``: the noise model, in the same manner
- ``train``: ``python -m models.train``, all of it from a file; ``benchmark``: how fast, against ``limits``
"""
