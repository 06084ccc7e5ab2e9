"""The noise model: what tells noise from ordinary events by their evidence. Fitted, judged and stored here.

Evidence is a vector of standardised surprises per event. The model's logit is the mean of two parts, an additive
monotone one and a small net; they are trained apart and calibrated apart, so that where they disagree the model is
unsure. A second stage adds what is known of the event's user and item. Both give log likelihood ratios for classes of
equal weight: how common noise is, is learned where the model serves.

- ``examples``: rows of evidence with their origin, how they are sampled, weighed and held out
- ``forward``: the same logits in numpy, the meaning of an artifact; ``artifact``: stored with a canary, verified
- ``fitting``: the first stage (``fit``); ``parts``: the two parts in torch; ``mixing``: the second stage (``fit_mix``)
- ``regression``: logistic regression of a few columns with bounds
- ``gate``: what a candidate must show; ``publish``: artifact, manifest and verdict in one
"""
