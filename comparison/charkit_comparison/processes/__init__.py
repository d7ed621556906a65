"""The worker processes of a comparison, one for each variant: they train, sample and run single steps on request."""
