"""A child for the tests: predicts scans in threads, checks each result, prints how many were right.

python child.py SOCKET THREADS SCANS_PER_THREAD SEED
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from worker.inference.client import PredictionClient
from worker.inference.models.stub_model import stub_ab


def main() -> None:
    socket_path, threads, scans, seed = sys.argv[1], *map(int, sys.argv[2:5])
    client = PredictionClient(socket_path, slots=threads, timeout_seconds=120)

    def predict_scans(thread: int) -> int:
        random = np.random.default_rng((seed, thread))
        right = 0
        for _ in range(scans):
            lightness = random.uniform(0, 100, (400, 400)).astype(np.float32)
            right += np.array_equal(client.predict(lightness).ab, stub_ab(lightness))
            print("one", flush=True)
        return right

    with ThreadPoolExecutor(threads) as pool:
        print(sum(pool.map(predict_scans, range(threads))), flush=True)
    client.close()


if __name__ == "__main__":
    main()
