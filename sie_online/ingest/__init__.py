"""From bytes to valid events: records, decoding, dead letters, event files."""
