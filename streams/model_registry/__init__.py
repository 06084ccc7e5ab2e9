"""The model line between trainer and workers: artifacts in the store, and what ``sie.models.v1`` says of them.

- ``artifacts``: the files of a version, written whole, verified on loading
- ``reader``: follows the topic; ``announcer``: writes it, one at a time; ``retention``: what may be deleted
- ``recorded``: what was announced, repeated to fresh shards; the same as files in a folder
"""
