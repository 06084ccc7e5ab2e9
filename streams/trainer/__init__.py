"""The trainer: a process of its own that fits the noise model and the importance net, judges and announces them.

How a net is trained and judged is ``models``' business; what was announced, ``streams.model_registry``'s.

- ``process``: its parts and its end; ``rounds``: when a fine-tune is due; ``attempt``: one of them, and its verdict
- ``settlement``: what becomes of a candidate, whoever made it: announced or kept, the net in force withdrawn
- ``intake``: the samples topic into the replay window; ``plan``: from settings to what ``models`` is told
- ``priors``: what all shards have learned, put together; ``prior_rounds``: when
- ``noise_fit``: a noise model from a shop's own log; ``noise_attempt``: one of them, and its verdict; ``noise_rounds``:
  when; ``event_window``: the newest events, which it is fitted on; ``suspects``: what is noise in them already
- ``default_noise``: the noise model that is part of the package, from random shops
- ``offline``, ``offline_noise``, ``offline_priors``, ``offline_announcer``: the same beside an evaluation, in step
- ``submission``: a candidate from a file through the same gate
- ``metrics``, ``site``, ``status``, ``scalars``: what it tells
- ``child``: a worker's own trainer, started anew when it dies
"""
