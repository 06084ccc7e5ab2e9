"""All input and output around the domain: processes, Kafka, the store, what people and Prometheus see.

Nothing here changes what a row says; that is ``sie_online``'s business alone. From the top, each room importing only
those below it (``pyproject.toml`` has the contract):

- ``cli``: the ``sie`` command; ``app``: a worker's Faust app; ``demo``: the whole line on one machine
- ``query``: what a worker answers over HTTP
- ``worker``, ``trainer``: the two processes; ``tools``: what stands behind commands that are run now and then;
  ``lake``: rows into tables; ``extensions``: whether what the settings name exists
- ``model_registry``: announced models; ``checkpoint``: shards' durable state; ``transport``: Faust's, in batches;
  ``sinks``: where rows go
- ``access``: rights at the brokers; ``topics``: their shapes; ``store``: the object store
- ``brokers``: an admin client; ``topic_ids``: whether a topic was made anew; ``extras``: what an install lacks;
  ``observe``: metrics, sites, logs; ``exits``: how a process ends; ``threads``
"""
