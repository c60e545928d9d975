"""Break one part of a person by a diffusion model: repaint, skeleton, body-guided. Needs torch and diffusers."""
