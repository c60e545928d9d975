"""``asap judge run``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asap.cli.output import print_lines, tell


@dataclass(frozen=True, kw_only=True)
class Command:
    """Judge every generated image of a folder."""

    judge: str
    """Judge: learned, landmarks, vlm, human, ensemble, or the folder of a learned judge. There is no default."""
    generations: Path
    """Folder that `asap generate` wrote."""
    out: Path
    """Folder of the verdicts."""
    set: Mapping[str, object] = field(default_factory=dict)
    """Settings of the judge, for instance url=http://localhost:8000/v1 model=qwen."""
    calibration: Path | None = None
    """File that `asap judge calibrate` wrote for the judge."""
    work: Path | None = None
    """Folder in which raw replies are stored and reused; OUT.judge by default."""
    estimate: bool = False
    """Only print the number of requests and tokens, and the price."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Judge, or continue, and print the folder."""
        from asap.workflows.evaluation.run_judge import estimate, run, work_of

        work = self.work or work_of(self.out)
        if self.estimate or self.judge == "vlm":
            expected = estimate(self.generations, judge=self.judge, options=self.set, work=work)
            if self.estimate:
                print_lines(expected)
                return
            tell(", ".join(f"{name} {value}" for name, value in expected.items() if value is not None))
        verdicts = run(
            self.generations,
            self.out,
            judge=self.judge,
            options=self.set,
            calibration=self.calibration,
            work=work,
            device=self.device,
            report=tell,
        )
        print(verdicts)
