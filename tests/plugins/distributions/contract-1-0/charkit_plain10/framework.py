"""A framework in miniature, to stand for yours: arrays that note on a tape how they were made."""

import numpy as np


class Tensor:
    def __init__(self, data, tape=None):
        self.data, self.tape, self.gradient = data, tape, 0

    def __add__(self, y):  # of one shape, or y is a row that is added to every row
        over = tuple(range(self.data.ndim - y.data.ndim))
        return made(self.data + y.data, (self, lambda g: g), (y, lambda g: g.sum(axis=over)))

    def __mul__(self, y):
        return made(self.data * y.data, (self, lambda g: g * y.data), (y, lambda g: g * self.data))

    def linear(self, w):  # (rows, inputs) by (outputs, inputs) is (rows, outputs)
        return made(self.data @ w.data.T, (self, lambda g: g @ w.data), (w, lambda g: g.T @ self.data))

    def columns(self, start, end):
        around = (0, 0), (start, self.data.shape[1] - end)
        return made(self.data[:, start:end], (self, lambda g: np.pad(g, around)))

    def sigmoid(self):
        y = 0.5 + 0.5 * np.tanh(0.5 * self.data)
        return made(y, (self, lambda g: g * y * (1 - y)))

    def tanh(self):
        y = np.tanh(self.data)
        return made(y, (self, lambda g: g * (1 - y * y)))


def made(data, *sources):
    """A tensor made of others; each comes with the function from the result's gradient to its own."""
    tape = next((source.tape for source, _ in sources if source.tape is not None), None)
    result = Tensor(data, tape)
    if tape is not None:
        tape.append((result, sources))
    return result


def go_back(tape):
    for result, sources in reversed(tape):
        for source, back in sources:
            if source.tape is not None:
                source.gradient = source.gradient + back(result.gradient)
