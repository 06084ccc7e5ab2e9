"""The light part that subscribers install. Public names resolve lazily through ``sie_online``."""
