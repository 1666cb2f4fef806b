"""Text that libraries write to standard error while they load is shown only if loading fails."""

import subprocess
import sys


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_output_of_a_library_that_loads_is_held_back() -> None:
    code = (
        "import os, sys\nfrom worker.system.held_output import held_standard_error\n"
        "with held_standard_error(): os.write(2, b'cuda_platform.cc:52] failed call to cuInit')\n"
        "print('after', file=sys.stderr)"
    )

    assert run(code).stderr == "after\n"


def test_lines_of_others_are_shown_afterwards() -> None:
    code = (
        "import os\nfrom worker.system.held_output import held_standard_error\n"
        "with held_standard_error(['fully_quantize:']):\n"
        '    os.write(2, b\'fully_quantize: 0\\n{"message": "a scan is done"}\\n\')'
    )

    assert run(code).stderr == '{"message": "a scan is done"}\n'


def test_when_loading_fails_what_was_written_is_shown() -> None:
    code = (
        "import os\nfrom worker.system.held_output import held_standard_error\n"
        "with held_standard_error():\n    os.write(2, b'no such symbol\\n')\n    raise ImportError('libcudnn')"
    )
    result = run(code)

    assert "no such symbol" in result.stderr
    assert "libcudnn" in result.stderr


def test_loading_the_backend_writes_nothing() -> None:
    assert run("from worker.model.backends.loading import load_backend; load_backend()").stderr == ""
