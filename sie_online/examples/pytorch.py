"""``python -m sie_online.examples.pytorch``: a small PyTorch recommender with and without the weights.

An embedding bag over the hashed features beside the dense ones, two layers. The whole use of the weights is one
argument of the loss: ``weight=``. Clean log, or no "they help" at the end? Leave it out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.examples.command import library, parser, read_samples, run
from sie_online.examples.samples import Floats, TrainingSamples

with library("torch"):
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import binary_cross_entropy_with_logits
    from torch.utils.data import DataLoader

    from sie_online.client.torch import SampleDataset

BUCKETS = 1 << 14  # rows of the embedding: hashed features beyond share one
WIDTH = 8
HIDDEN = 32
BATCH = 256
LEARNING_RATE = 0.03
SCORED_AT_ONCE = 1 << 16


class Net(nn.Module):
    """Logit of P(label = 1) from ``features`` (n, F) of int64, 0 meaning absent, and ``dense`` (n, D) of float32."""

    def __init__(self, n_dense: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(BUCKETS, WIDTH, mode="sum", padding_idx=0)
        self.layers = nn.Sequential(nn.Linear(WIDTH + n_dense, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        nn.init.normal_(self.embedding.weight, std=0.05)

    def forward(self, features: Tensor, dense: Tensor) -> Tensor:
        """(n,)."""
        known = self.embedding(features % BUCKETS)
        logit: Tensor = self.layers(torch.cat([known, dense], dim=1)).squeeze(1)
        return logit


class NetLearner:
    """``Net`` trained in minibatches, in the order of the samples."""

    def __init__(self, epochs: int = 3, seed: int = 0) -> None:
        self._epochs = epochs
        self._seed = seed
        self._net: Net | None = None

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn in order, ``epochs`` times."""
        whole = [*_inputs(samples), _tensor(samples.label, np.float32), _tensor(weight, np.float32)]
        for _ in range(self._epochs):
            for start in range(0, len(samples), BATCH):
                features, dense, label, w = (column[start : start + BATCH] for column in whole)
                logit = self._started(dense.shape[1])(features, dense)
                loss = binary_cross_entropy_with_logits(logit, label, weight=w)
                self._optimiser.zero_grad()
                torch.autograd.backward(loss)
                self._optimiser.step()

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        net = self._started(samples.dense.shape[1])
        features, dense = _inputs(samples)
        parts = (slice(start, start + SCORED_AT_ONCE) for start in range(0, len(samples), SCORED_AT_ONCE))
        with torch.no_grad():
            logit = torch.cat([net(features[part], dense[part]) for part in parts])
        probability: Floats = logit.double().sigmoid().numpy()
        return probability

    def _started(self, n_dense: int) -> Net:
        if self._net is None:
            torch.manual_seed(self._seed)
            self._net = Net(n_dense)
            self._optimiser = torch.optim.Adagrad(self._net.parameters(), lr=LEARNING_RATE)
        return self._net


def _inputs(samples: TrainingSamples) -> tuple[Tensor, Tensor]:
    return _tensor(samples.features, np.int64), _tensor(samples.dense, np.float32)


def _tensor(column: NDArray[Any], dtype: type[np.generic]) -> Tensor:
    return torch.from_numpy(column.astype(dtype, copy=False))


def read(options: argparse.Namespace) -> TrainingSamples:
    """From the file, or from the topic until it is silent."""
    if options.file:
        return read_samples(options)
    if options.truth:
        raise UsageError("--truth goes by ids of events, which tensors do not carry: give --file, too")
    names = [name for name in TrainingSamples.names() if name != "event_id"]
    dataset = SampleDataset(
        broker=options.broker, topic=options.topic, idle_s=options.idle, columns=["noise_probability", "probability"]
    )
    batches = list(DataLoader(dataset, batch_size=None, num_workers=options.workers))
    if not batches:
        raise UsageError("there are no settled samples")
    columns = {name: torch.cat([batch[name] for batch in batches]).numpy() for name in names}
    return TrainingSamples.of(columns | {"event_id": np.full(len(columns["label"]), "")})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser("pytorch", "Train a small PyTorch net with and without the weights.", epochs=3)
    options.add_argument("--workers", type=int, default=2, metavar="N", help="processes that read (default 2)")
    torch.set_num_threads(1)  # more only get into each other's way in a net as small
    return run(options, arguments, lambda given: NetLearner(given.epochs, given.seed), read)


if __name__ == "__main__":
    sys.exit(main())
