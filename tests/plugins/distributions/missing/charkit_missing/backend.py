"""Would use its framework."""

import abacus_that_is_not_there

MissingBackend = abacus_that_is_not_there.Backend
