"""What the stream says of noise by itself, without a model: mixtures over an event's surprises, one for each cause.

``causes`` puts them together: the account (``account``), the order (``order``), the event (``event``); ``mixture`` is
what they share.
"""
