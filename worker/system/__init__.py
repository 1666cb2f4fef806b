"""What the operating system is asked: processes, mounts, memory, temporary folders."""
