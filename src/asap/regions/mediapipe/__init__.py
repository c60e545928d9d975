"""Google's MediaPipe models (Apache-2.0) for palms, hands, faces and bodies, run with LiteRT on the CPU."""
