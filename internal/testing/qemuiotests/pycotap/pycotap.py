"""Stands in for the package pycotap, which QEMU's functional tests use to print results."""

import unittest


class LogMode:
    LogToError = None


class TAPTestRunner(unittest.TextTestRunner):
    def __init__(self, **_):
        super().__init__(verbosity=2)
