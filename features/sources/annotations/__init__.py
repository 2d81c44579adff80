"""Annotations of images as sources: boxes in tables, Pascal VOC and COCO."""
