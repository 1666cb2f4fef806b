"""Questions to the operating system: processes, mounts, memory, temporary folders."""
