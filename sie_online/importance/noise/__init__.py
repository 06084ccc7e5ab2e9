"""Factor ``noise``: P(this event is noise), online, unsupervised, in one pass."""
