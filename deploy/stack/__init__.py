"""``make stack``: what the compose file runs, as processes of this machine, on real Apache Kafka.

plan        addresses, folder and settings
load        a shop's events, for ever
prometheus  its configuration on this machine, and its answers
answers     every query of the dashboards, asked as Grafana would
stage       what is started in which order, and stopped
__main__    the command
"""
