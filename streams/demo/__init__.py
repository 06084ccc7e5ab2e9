"""``sie demo``: the whole line on this machine, on a generated stream whose truth is known.

plan        what is asked for, and the settings it runs under
folder      what it writes, one run at a time
children    broker and worker as processes of ours, each with its log
background  threads and tasks beside each other
broker_side what Kafka says: lag and dead letters
site        what the worker's site says: ready, counts
observer    what a subscriber sees, held against the truth
view        the live picture in the terminal
training    the trainer's part: its nets, and a poisoned candidate
learners    a small recommender trained with and without the weights
report      the figures at the end, and whether the books balance
picture     the same as an image
stage       the order of it all (``run_demo``)
"""

from streams.demo.plan import DemoPlan
from streams.demo.report import DemoReport
from streams.demo.stage import run_demo

__all__ = ["DemoPlan", "DemoReport", "run_demo"]
