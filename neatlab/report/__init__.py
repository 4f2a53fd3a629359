"""A comparison as one self-contained page that needs no network."""

from neatlab.report.page import check_target, write_report

__all__ = ["check_target", "write_report"]
