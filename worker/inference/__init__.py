"""The model server and its clients."""

CPU_BATCH_SIZE = 8  # scans: larger batches are no faster on a CPU, see docs/performance.md
