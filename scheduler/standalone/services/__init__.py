"""The broker and the S3 server of one machine: real ones, as processes of ours, on loopback only.

Each takes a free port and a generated password, keeps all its files in one folder, and ends with the process
that started it, however that ends.
"""

from scheduler.standalone.services.s3_server import S3Server
from scheduler.standalone.services.service import Service, free_port
from scheduler.standalone.services.valkey import ValkeyServer

__all__ = ["S3Server", "Service", "ValkeyServer", "free_port"]
