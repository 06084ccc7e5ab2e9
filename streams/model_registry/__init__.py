"""The model registry between trainer and workers: artifacts in the store, and what ``sie.models.v1`` says of them.

What a version is good for is judged elsewhere (``models.gate``); when a shard adopts it is the shard's to say.

- ``artifacts``: the files of a version, written whole, verified on loading; ``retention``: which may be deleted
- ``announcer``: writes the topic, one at a time; ``event_log``: what it must know of the input
- ``registry``: what was announced, by model; ``reader``: follows it
- ``history``: the same for people; ``board``: the same for a status page
- ``loaded``: announced versions as shards take them, kept while needed (``versions``): ``nets``, ``noises``, ``priors``
  (``prior_lists``: what they hold for lists)
- ``recorded``: what was announced, repeated to fresh shards; the same as files in a folder
"""
