"""Recurrent cells, one file each: equations, a fast sequence form and a slow, obvious reference."""
