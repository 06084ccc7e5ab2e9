"""Logins and rights at the brokers, on one Apache Kafka with TLS and ACLs that all of its tests share."""
