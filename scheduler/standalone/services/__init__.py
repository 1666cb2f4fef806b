"""A real broker and a real S3 server for one machine, as child processes, on loopback only.

Each takes a free port and a random password, keeps its files in one folder, and ends when the process that started it
ends, even if that is killed.
"""

from scheduler.standalone.services.s3_server import S3Server
from scheduler.standalone.services.service import Service, free_port
from scheduler.standalone.services.valkey import ValkeyServer

__all__ = ["S3Server", "Service", "ValkeyServer", "free_port"]
