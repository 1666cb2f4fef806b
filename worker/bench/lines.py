"""A process that carries out commands, one line of JSON at a time."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def answer(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until standard input ends: {"do": NAME, ...} calls commands[NAME](...), and its result is printed as one
    line of JSON.

    An exception becomes {"error": "..."}, and the process continues.
    """
    # Output of libraries goes to standard error, because on standard output it would be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            result = commands[command.pop("do")](**command)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=answers, flush=True)
