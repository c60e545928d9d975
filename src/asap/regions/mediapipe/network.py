"""A TensorFlow Lite model as a function of an image."""

import numpy as np
import numpy.typing as npt

from asap.core.errors import MissingDependencyError, StoreError
from asap.core.native_stderr import silence_native_stderr
from asap.core.records import FloatArray

__all__ = ["Network"]


class Network:
    """A model run by LiteRT on the CPU, without output on the error stream."""

    def __init__(self, model: bytes, name: str, threads: int = 1) -> None:
        """Load ``model``.

        Raises:
            MissingDependencyError: LiteRT is not installed.
            StoreError: the bytes are not a model.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError("ai-edge-litert", "the landmarker mediapipe") from error
        try:
            with silence_native_stderr():
                self._interpreter = Interpreter(model_content=model, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"{name} is not a TensorFlow Lite model ({error}); download it again") from error
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = [int(detail["index"]) for detail in self._interpreter.get_output_details()]

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the input and of all outputs. A replacement model must have the same shapes."""
        details = [*self._interpreter.get_input_details(), *self._interpreter.get_output_details()]
        return tuple(tuple(int(length) for length in detail["shape"]) for detail in details)

    def __call__(self, image: FloatArray) -> list[npt.NDArray[np.float32]]:
        """All outputs for an (S, S, 3) image, each with a leading axis of 1."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(image[None], np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
