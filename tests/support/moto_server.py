"""``python -m tests.support.moto_server PORT``: an S3 of moto's on this machine, in the memory of a process of its own.

One request at a time: moto looks whether an object is there and puts it then, which threads could do both at once. The
real service does not, and what is tested here is not moto.
"""

from __future__ import annotations

import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
