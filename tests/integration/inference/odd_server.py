"""The model server with a stand-in whose faults a scan chooses. It takes the same arguments as server.py.

The lightness of a scan, which is the same everywhere, chooses the fault. 66 kills the process during the batch, and 77
makes the prediction raise. 55 makes the first server hang; later servers find the file HUNG_FILE and do not hang. 88
needs more memory than the device has for batches of two or more, until the model is loaded for batches of one. Before
a batch is predicted, the first value of each of its scans is written to BATCHES_FILE.
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
