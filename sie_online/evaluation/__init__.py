"""The same core without a broker: a file through shards, and what was found in it. Owns no weighting of its own.

- ``run``: records through shards, and what they say as tables; ``report``: its books and figures
- ``inspection``: what a source holds, found before it goes on; ``diagnosis``: why nothing in it is a valid event
- ``compare``: whether the weights help a subscriber's learners
- ``pollution``: how well the detector does on a user's own log
- ``pictures``: both as a page to look at
- ``dead_letters``: what could not be read, where it stands, and why; ``lists``: what users would have been shown
"""
