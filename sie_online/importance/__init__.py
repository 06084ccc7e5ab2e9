"""Importance: the additive parts of a log weight, each computed per event and before learning.

A factor's state is kept, and its value asked for, by ``sie_online.shard``; here is only what it is.

- ``noise``: 1 − (2 P(noise) − 1), at most 1; ``delay``: an unripe negative may be a purchase in waiting
- ``balance``: no class and no group drowns the others; ``score``: the literature's three scores
- ``influence``: the torch net's f(x), one event at a time
- ``factor``: what a factor is; ``factors``: all of them, composed once for the event and its revisions
- ``guard``: how much of the weighting is published: the test that the weights do no harm
- ``weight``: from the factors to what is published: normalised, guarded, clipped
"""
