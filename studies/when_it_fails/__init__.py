"""Notebook 09: MobileNetV2, where the paper's amount fails."""
