#!/usr/bin/env python3
"""Runs a runner of the Autobahn cases with the subprotocol that the server insists on: `autobahn_run.py RUNNER run …`."""
import runpy, sys
from autobahn.twisted.websocket import WebSocketClientFactory

plain_init = WebSocketClientFactory.__init__


def init(self, *args, **kwargs):
    plain_init(self, *args, **{"protocols": ["skein.v1"], **kwargs})


WebSocketClientFactory.__init__ = init
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
