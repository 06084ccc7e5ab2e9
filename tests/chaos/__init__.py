"""Real workers on real Apache Kafka, and everything done to them that production will do.

Whatever happens, the published rows must be those of an undisturbed run, no commit may run ahead of a checkpoint, and a
dead worker's partitions must be served again soon. ``verdict`` says whether; ``broken_worker`` proves that it would say
so if it were not.

    places     where checkpoints and models lie: a folder, or a bucket behind a network that fails now and then
    scene      the topics, the load, the workers and the broker of one run
    fleet      workers under a supervisor that restarts what ends
    monitors   what is watched while it runs: commits, and who publishes what since when
    faults     what is done to them, at random moments, by seed
    verdict    published rows against those of an undisturbed run
    run        one run; ``python -m tests.chaos.run --seeds 1-10``
"""
