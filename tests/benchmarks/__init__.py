"""Figures of speed and quality: what ``make bench`` and ``make evaluate`` print and keep on a page."""
