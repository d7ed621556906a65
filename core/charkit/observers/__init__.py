"""Observers: plugins that get the events of training, such as those that record a run in an experiment tracker.

    charkit.train("anna.txt", track=["csv", "tensorboard"])

An observer is a distribution's entry point in the group ``charkit.observers`` whose module or class implements the
hook ``charkit_event`` (``hookspecs``). Each one that is chosen works in a process of its own, which gets the events
through a pipe (``process``, ``worker``): so whatever it does, training neither waits for it nor computes other numbers.
"""
