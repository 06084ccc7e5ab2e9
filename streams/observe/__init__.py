"""What people and Prometheus see of a worker and a trainer."""
