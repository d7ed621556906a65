"""The observers that come with charkit: CSV, TensorBoard, MLflow, and Weights & Biases.

They use the interface that any plugin has (``charkit.observers``). What they keep of a run is in its folder
``tracking``, so that a run that is moved or resumed goes on in the same tracked run.
"""
