"""Importance: the additive parts of a log weight, each computed per event and before learning."""
