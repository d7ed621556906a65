"""Must never be imported where its framework is too old."""

raise AssertionError("imported beside a framework that is too old")
