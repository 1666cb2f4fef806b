"""The model server with a stand-in that does what the scan asks for: server.py's own arguments.

A scan of lightness 66 everywhere kills the process in its batch; one of 77 makes predict raise; one of 55 makes the
first server that sees it hang, and no later one, which finds the file HUNG_FILE; one of 88 needs
more memory than a device with room for batches of two has, until the model is loaded for one. Each batch
is written to BATCHES_FILE, as its scans' first values, before it is predicted.
"""

import os
import signal
import sys
import time

from worker.inference import server
from worker.inference.models import stub_model
from worker.model.packing import PackedLightness, unpack_lightness


class OddColorizer(stub_model.StubColorizer):
    def predict_packed(self, lightness: PackedLightness) -> stub_model.StubColours:
        levels = unpack_lightness(lightness[:, 0, 0]).round(2)
        with open(os.environ["BATCHES_FILE"], "a") as file:
            print(*levels, file=file)
        if 66 in levels:
            os.kill(os.getpid(), signal.SIGKILL)
        if 55 in levels and not os.path.exists(os.environ["HUNG_FILE"]):
            open(os.environ["HUNG_FILE"], "w").close()
            time.sleep(600)
        if 77 in levels:
            raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")
        if 88 in levels and self.batch_size > 1:
            raise MemoryError
        return super().predict_packed(lightness)


if __name__ == "__main__":
    setattr(server, "StubColorizer", OddColorizer)  # noqa: B010
    sys.exit(server.main())
