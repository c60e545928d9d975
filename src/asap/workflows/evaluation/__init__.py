"""Generate images, judge them, calibrate judges, rate, compare."""
