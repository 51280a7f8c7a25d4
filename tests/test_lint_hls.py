"""The lint of HLS cells sees what it is there for."""

import sysconfig
from pathlib import Path

import pytest
from bitexpert.flow.emit import emit_hls
from emitnets import BOARD, joined_net
from lint_hls import tidy

WRITE = "if (beat >= START && beat < STOP) out.write(word);"
COPY = "long differ = 0;\n  const std::string copy = folder;\n  differ += copy.empty();"
pytestmark = pytest.mark.skipif(
    not (Path(sysconfig.get_path("scripts")) / "clang-tidy").exists(), reason="clang-tidy comes with the extra lint"
)


@pytest.mark.parametrize(
    ("file", "old", "new", "check"),
    [
        ("bx/slice.hpp", WRITE, f"{WRITE} else out.write(word);", "bugprone-branch-clone"),
        ("tb/testbench.cpp", "long differ = 0;", COPY, "performance-unnecessary-copy-initialization"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, file, old, new, check):
    emit_hls(joined_net(), tmp_path, "made by a test", part=BOARD.part, clock_ns=10.0)
    assert tidy(tmp_path).returncode == 0
    source = tmp_path / file
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, new))
    done = tidy(tmp_path)
    assert done.returncode == 1
    assert f"{source}:" in done.stdout
    assert check in done.stdout
