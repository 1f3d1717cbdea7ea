"""Settings of this room's tests."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads waiting for each other on a busy machine are a hundred times slower on small nets than one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
