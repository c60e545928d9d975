"""Shared by all tests: nothing is fetched from a hub, and one process takes one thread unless a test asks for more."""

import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

# A shell that starts tests in the background lets them ignore Ctrl-C; tests of Ctrl-C want Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """One thread, so that sums do not depend on the machine; tiny models are three times faster in one than in two."""
    import torch

    torch.set_num_threads(int(os.environ.get("ASAP_TEST_THREADS", "1")))
