"""Do the weights help a subscriber? Learners of theirs trained with and without, scored on what came later.

- ``trial``: ``compare``, from settled samples to a ``Comparison``
- ``settled``: the samples as columns, collected while they settle; what is learned and what is scored
- ``accounts``: which samples are of established accounts
- ``arms``: weightings: published, permuted, each factor alone and left out
- ``learners``: a context logistic regression and an embedding net, as kernels
- ``scores``: AUC, PR-AUC and NLL of many predictions, resampled by users in pairs
- ``figures``: what is found, by population, learner and weighting
- ``verdict``: helps, harms, or no evidence, in a sentence
"""
