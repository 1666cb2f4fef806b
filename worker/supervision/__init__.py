"""The worker's processes: who starts them, watches them and starts them again."""
