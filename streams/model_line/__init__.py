"""The model line between trainer and workers: artifacts in the store, and what ``sie.models.v1`` says of them.

- ``artifacts``: the files of a version, written whole, verified on loading
- ``reader``: follows the topic; ``announcer``: writes it, one at a time; ``keep``: what may be deleted
"""
