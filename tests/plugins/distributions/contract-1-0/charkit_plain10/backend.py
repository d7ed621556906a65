import numpy as np
from threadpoolctl import threadpool_limits

from charkit.backend import Backend, Moments, State, float_dtype
from charkit_plain10.framework import Tensor, go_back, made


class PlainBackend(Backend[Tensor]):
    name = "plain10"
    precisions = frozenset({"float32", "float64"})

    @classmethod
    def devices(cls):
        return ["cpu"]

    def __init__(self, *, precision, device, threads):
        super().__init__(precision=precision, device=device, threads=threads)
        self.dtype = float_dtype(precision)
        threadpool_limits(threads)  # None: NumPy's own choice

    def versions(self):
        return {"numpy": np.__version__}

    def tensor(self, array):
        return Tensor(np.array(array, dtype=self.dtype if array.dtype.kind == "f" else array.dtype))

    def numpy(self, tensor):
        return np.array(tensor.data)

    def build_lstm(self, model):
        return lambda *arguments: lstm(model, *arguments)

    def build_output(self, model):
        return lambda weights, features: features.linear(weights["output.weight"]) + weights["output.bias"]

    def build_loss(self, model):
        return loss

    def build_optimizer(self, optimizer):
        return lambda *arguments: update(optimizer, *arguments)

    def differentiate(self, forward):
        def backward(weights, symbols, targets, state, masks):
            tape = []
            leaves = {name: Tensor(weight.data, tape) for name, weight in weights.items()}
            nats, after = forward(leaves, symbols, targets, state, masks)
            nats.gradient = np.full_like(nats.data, 1 / nats.data.size)  # of the mean
            go_back(tape)
            return {name: Tensor(leaf.gradient) for name, leaf in leaves.items()}, Tensor(nats.data), after

        return backward


def lstm(model, weights, symbols, state, masks):
    size, dtype = model.lstm_size, state.hidden.data.dtype
    one_hot = np.eye(model.vocabulary_size, dtype=dtype)[symbols.data]  # (batch, time, vocabulary)
    layer_inputs = [Tensor(one_hot[:, t]) for t in range(one_hot.shape[1])]
    kept = None if masks is None else (masks.data / (1 - model.dropout)).astype(dtype)
    hidden, cell = np.empty_like(state.hidden.data), np.empty_like(state.cell.data)
    for layer in range(model.num_layers):
        w_ih, w_hh, bias = (weights[f"lstm.{layer}.{part}"] for part in ("weight_ih", "weight_hh", "bias"))
        h, c = Tensor(state.hidden.data[layer]), Tensor(state.cell.data[layer])  # (batch, unit)
        outputs = []
        for t, x in enumerate(layer_inputs):
            z = x.linear(w_ih) + h.linear(w_hh) + bias
            i, f, g, o = (z.columns(gate * size, (gate + 1) * size) for gate in range(4))
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h if kept is None else h * Tensor(kept[layer, :, t]))
        hidden[layer], cell[layer] = h.data, c.data
        layer_inputs = outputs
    features = np.stack([x.data for x in outputs], axis=1)  # (batch, time, unit)
    sources = [(x, lambda g, t=t: g.reshape(features.shape)[:, t]) for t, x in enumerate(outputs)]
    return made(features.reshape(-1, size), *sources), State(Tensor(hidden), Tensor(cell))


def loss(logits, targets):  # logits (batch * time, vocabulary)
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)  # so that exp can't overflow
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = np.eye(logs.shape[1], dtype=logs.dtype)[targets.data.ravel()]
    nats = -(logs * wanted).sum(axis=1).reshape(targets.data.shape)
    return made(nats, (logits, lambda g: g.reshape(-1, 1) * (np.exp(logs) - wanted)))


def update(config, weights, moments, gradients, rates):
    norm = np.sqrt(sum(np.sum(gradient.data**2) for gradient in gradients.values()))
    scale = min(1.0, config.clip_threshold / float(norm)) if norm > 0 else 1.0
    after, mean, square = {}, {}, {}
    for name, gradient in gradients.items():
        g = gradient.data * scale
        m = config.beta1 * moments.exp_avg[name].data + (1 - config.beta1) * g
        v = config.beta2 * moments.exp_avg_sq[name].data + (1 - config.beta2) * g**2
        root = np.sqrt(v / rates.bias_correction2.data) + config.epsilon
        change = rates.learning_rate.data * (m / rates.bias_correction1.data) / root
        after[name], mean[name], square[name] = Tensor(weights[name].data - change), Tensor(m), Tensor(v)
    return after, Moments(mean, square), Tensor(np.asarray(norm))
