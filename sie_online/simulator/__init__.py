"""A generated e-commerce stream whose truth is known: people with tastes, and what pollutes their log.

    scenario    how much of everything (``Scenario``)
    world       people, items, categories and their tastes
    behaviour   genuine sessions: views, carts, favourites, purchases, returns, ratings
    noise       misclicks, crawlers, brushed orders
    shops       clean logs of random shops, of which everything is drawn (``random_shop``)
    malformed   records that no consumer can read
    columns     events in columns, until they are records
    stream      all of it in time order, as wire records, with the truth (``simulate``)
    files       the events as a file of the documented schema, the truth beside it (``SimulationFiles``)

Deterministic by seed; no clock, no socket, and no file but what ``files`` is asked to write.

>>> from sie_online.simulator import Scenario, simulate
>>> simulation = simulate(Scenario(events=2_000, seed=7))
>>> sorted(simulation.counts_by_kind())
['bots', 'brushing', 'clean', 'misclick']
"""

from sie_online.simulator.files import SimulationFiles
from sie_online.simulator.scenario import Scenario
from sie_online.simulator.stream import Simulation, simulate

__all__ = ["Scenario", "Simulation", "SimulationFiles", "simulate"]
