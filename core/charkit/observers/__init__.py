"""Observers: plugins that receive the events of training, for example to record a run in an experiment tracker.

    charkit.train("anna.txt", track=["csv", "tensorboard"])

An observer is a distribution's entry point in the group ``charkit.observers`` whose module or class implements the hook
``charkit_event`` (``hookspecs``). Each selected observer runs in its own process, which receives the events through a
pipe (``process``, ``worker``), so it can neither delay training nor change its results.
"""
