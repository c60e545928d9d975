"""Break one part of a person in a photograph on the CPU: warps, removal, grafts. numpy and scipy only."""
