import sys

import pytest
from bitexpert.sim.toolchain import ToolError, compiler, digest, run_tool


def tool(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_is_kept():
    done = run_tool(tool("import sys; print('out'); print('err', file=sys.stderr); sys.exit(5)"), "a tool", ok=(0, 5))
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('noise'); print('%Error: a.sv:3: bad'); print('more'); exit(1)", "a tool failed: %Error: a.sv:3: bad"),
        (
            "[print('x.c: error: no.', i) for i in range(9)]; exit(1)",
            "x.c: error: no. 0; x.c: error: no. 1; x.c: error: no. 2",
        ),
        ("[print('line', i) for i in range(9)]; exit(1)", "a tool failed: line 6; line 7; line 8"),
        ("exit(7)", "a tool failed: exit status 7 without a word"),
        ("import os; os.kill(os.getpid(), 11)", "a tool failed: SIGSEGV ended it"),
        ("import os; print('busy', flush=True); os.kill(os.getpid(), 9)", "a tool failed: SIGKILL ended it: busy"),
    ],
)
def test_failures_are_one_line(code, message):
    with pytest.raises(ToolError) as caught:
        run_tool(tool(code), "a tool")
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_tools_that_are_missing(monkeypatch, tmp_path):
    with pytest.raises(ToolError, match=r"a tool: cannot start .*none: No such file"):
        run_tool([tmp_path / "none"], "a tool")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match=r"the C\+\+ compiler no-such-compiler is missing: .*apt-get install g\+\+"):
        compiler()


def test_digest_depends_on_names_contents_and_words(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("x")
    b.write_text("x")
    seen = {digest([a]), digest([b]), digest([a], "w"), digest([a, b])}
    a.write_text("y")
    assert len({*seen, digest([a])}) == 5
    assert digest([a, b]) == digest([b, a])
