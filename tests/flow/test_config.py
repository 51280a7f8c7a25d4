from pathlib import Path

import pytest
from bitexpert.flow.config import BuildConfig, ConfigError, read_config


def test_defaults_file_and_overrides(tmp_path):
    assert read_config(None) == BuildConfig()
    path = tmp_path / "c.yaml"
    path.write_text("board: other\ntarget_fps: 100\nverify_samples: 3\n")
    config = read_config(path, target_fps=5, board=None)
    assert (config.board, config.target_fps, config.verify_samples) == ("other", 5, 3)
    path.write_text("")
    assert read_config(path) == BuildConfig()
    assert read_config(None, checkpoint="model.pt").checkpoint == Path("model.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bord: x", "bord: Extra inputs are not permitted; known keys: board, target_fps"),
        ("1: x", "1: "),
        ("target_fps: 0", "target_fps: Input should be greater than 0"),
        ("target_fps: .inf", "target_fps: Input should be a finite number"),
        ("synth_clk_period_ns: .nan", "synth_clk_period_ns"),
        ("target_fps: fast", "target_fps: Input should be a valid number"),
        ("top_k: -1", "top_k: Input should be greater than or equal to 0"),
        ("verify_samples: 0", "verify_samples: "),
        ("[1, 2]", "expected keys and values"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*c\.yaml: No such file"):
        read_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: Is a directory"):
        read_config(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(tmp_path / "b.yaml")
