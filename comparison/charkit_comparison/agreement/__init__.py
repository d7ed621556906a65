"""Whether backends agree: single training steps judged by the float64 oracle, and loss curves beside a control run."""
