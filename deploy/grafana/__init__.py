"""Grafana dashboards: each is a list of panels in Python, and its JSON is written from that (``make dashboards``).

panels   what a panel, a row of them and a dashboard are, and their JSON
fleet    is it well, does it keep up, is anything lost
shard    one partition: where it stands, what it holds, what it says
quality  do the weights help, is noise found
models   what is in force, and what the trainer makes of it
__main__ writes their files, or checks them

``dashboards/`` holds what is written, ``provisioning/`` what makes a Grafana load it.
"""
