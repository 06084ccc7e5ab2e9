"""What sie-online is run and watched with, beside the package itself.

kafka       one node of Apache Kafka, for this machine
docker      images, and a compose file for all of it
kubernetes  manifests
prometheus  what is scraped, and the rules of its alerts
grafana     dashboards, generated
stack       Kafka, worker, trainer and Prometheus on this machine: ``make stack``
schemas     JSON Schemas of the topics, generated
site        builds the docs as a site: ``make docs``
"""
