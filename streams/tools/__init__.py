"""What stands behind commands that are run now and then. None of it runs in a worker; how it is told is ``cli``'s.

- ``replay``: files of events into the input topic; ``pacing``: how fast; ``writer``: whole batches per partition
- ``heartbeat``: keeps the clocks of silent partitions running
- ``erase``: has every shard forget users, and looks at what still holds them
- ``explanation``: an event's weight, part by part
- ``audit``: recomputes published weights from the log; ``influence``: which inputs moved f(x); ``noise``: which model
  judged an event, and which evidence moved it
- ``checks``: what the settings name, tried out
"""
