"""Gunicorn for a server with clients of every kind: `gunicorn -c deploy/gunicorn.conf.py 'carboy:create_app()'`.

Time-outs, hooks, log and worker class are Carboy's own; this file sets what differs from machine to machine. The
command line and `GUNICORN_CMD_ARGS` win over both.
"""

import os

from carboy.serve.gunicorn_conf import *  # noqa: F403

bind = "0.0.0.0:8000"
workers = os.cpu_count() or 1  # one where the database is SQLite
threads = 32
worker_tmp_dir = "/dev/shm"  # noqa: S108 (heartbeats in memory: a busy disk must not look like a dead worker)
max_requests = 0
