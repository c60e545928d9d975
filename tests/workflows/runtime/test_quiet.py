"""What libraries print while a model is loaded and a body is posed stays out of a command's output."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from asap.workflows.runtime.quiet import quiet_libraries
quiet_libraries()
from asap.backbones import load
from asap.bodies.warp_runtime import start_warp
start_warp()
load("tiny").save_pipeline(Path(sys.argv[1]))
"""


def test_loading_and_saving_a_model_print_nothing(tmp_path: Path) -> None:
    script = f"import sys\nfrom pathlib import Path\n{SCRIPT}"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout, ended.stderr) == ("", "")
