"""Exits with 0 if the process in this container is alive: healthcheck.py PORT"""

import sys
import urllib.request

with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/healthz", timeout=5) as answer:
    sys.exit(answer.status != 200)
