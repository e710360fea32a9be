import socket
from dataclasses import replace
from pathlib import Path

import pytest

from localservers.ports import Ports
from native.config import StackConfig
from native.stack import Stack, StartError


def test_a_start_names_the_port_that_is_in_use_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stack = Stack(StackConfig(tmp_path, tmp_path / ".run", replace(Ports.free(), api=port)), print)
        with pytest.raises(StartError, match=rf"something else: api \({port}\)\nStop the programs .*\(API_PORT, …"):
            stack.up()
    assert not (tmp_path / ".run").exists()
