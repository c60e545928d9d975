"""Google's MediaPipe models (Apache-2.0) run by hand with LiteRT: palms, hands, faces, bodies. CPU only, no display."""
