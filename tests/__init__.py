"""Tests of sie-online: unit (no broker), contract (golden files), integration (a broker), chaos (Apache Kafka)."""
