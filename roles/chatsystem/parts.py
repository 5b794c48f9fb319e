"""The applications that ChatSystem runs inside its own network, each on the host of its group."""

from __future__ import annotations

from orchestr import Use

ETCD = Use("etcd", own=True)
MYSQL = Use("mysql", own=True)
REDIS = Use("redis", own=True)
ELASTICSEARCH = Use("elasticsearch", own=True)
RABBITMQ = Use("rabbitmq", own=True)
PARTS = (ETCD, MYSQL, REDIS, ELASTICSEARCH, RABBITMQ)
