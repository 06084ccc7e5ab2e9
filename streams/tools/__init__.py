"""What stands behind commands that are run now and then: replay, heartbeat, erase, audit, explain, checks."""
