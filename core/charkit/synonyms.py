"""What other toolkits call charkit's settings, so that a name from one of them leads to the right one.

The names are those of PyTorch's examples, Keras, Hugging Face's trainer and generation, nanoGPT, char-rnn, llama.cpp
and ``llm``. The command line takes the names in ``SYNONYMS`` as options; keywords in Python and keys in TOML files are
refused with the right name. A name in ``ADVICE`` has no single counterpart, so its message says what there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from charkit.errors import nearest

#: Other names of a parameter: they mean the same, and take the same values.
_OTHER_NAMES = {
    "learning_rate": "lr base_lr",
    "lstm_size": "hidden_size hidden_dim hidden_units hidden n_hidden num_hidden nhid rnn_size rnn_units units "
    "lstm_units num_units d_model n_embd",
    "num_layers": "layers nlayers n_layer n_layers num_hidden_layers",
    "dropout": "dropout_rate dropout_prob hidden_dropout_prob",
    "num_steps": "seq_length seq_len sequence_length max_seq_length max_seq_len block_size bptt context_length "
    "context_size maxlen timesteps time_steps unroll_steps",
    "batch_size": "bs batch train_batch_size per_device_train_batch_size",
    "epochs": "max_epochs num_epochs num_train_epochs n_epochs nb_epoch",
    "max_steps": "max_iters max_iter iters iterations num_iters num_iterations num_train_steps train_steps "
    "training_steps total_steps",
    "grad_clip": "clip clip_norm clipnorm global_clipnorm max_grad_norm gradient_clip gradient_clip_val "
    "gradient_clipping clip_grad_norm",
    "weight_decay": "wd adamw_weight_decay",
    "beta1": "beta_1 adam_beta1",
    "beta2": "beta_2 adam_beta2",
    "epsilon": "eps adam_epsilon",
    "schedule": "lr_schedule lr_scheduler lr_scheduler_type scheduler",
    "warmup_steps": "warmup warmup_iters num_warmup_steps",
    "learning_rate_floor": "min_lr lr_min eta_min min_learning_rate",
    "eval_every": "eval_interval eval_steps eval_val_every eval_freq",
    "log_every": "log_interval logging_steps print_every report_every log_steps",
    "save_every": "save_steps save_interval checkpoint_every checkpoint_interval save_freq",
    "patience": "early_stopping_patience",
    "validation_share": "val_frac val_split val_fraction val_share validation_split validation_fraction",
    "test_share": "test_frac test_split test_fraction",
    "precision": "dtype torch_dtype",
    "initialization": "init initializer weight_init",
    "vocabulary": "vocab",
    "max_vocabulary": "max_vocab max_vocab_size",
    "time_limit": "max_time time_budget",
    "seed": "random_seed manual_seed rng_seed",
    "glob": "pattern include",
    "run": "out_dir output_dir checkpoint_dir save_dir out output run_dir o",
    "text": "data data_dir dataset input input_file input_txt train_file train_data corpus file",
    "resume": "resume_from resume_from_checkpoint restore load_checkpoint continue_from",
    "init_from": "from_pretrained pretrained model_name_or_path finetune finetune_from fine_tune init_weights",
    "overwrite": "force overwrite_output_dir exist_ok",
    "recipe": "preset",
    "config": "config_file cfg",
    "threads": "num_threads n_threads nthreads cpu_threads",
    "backends": "backend frameworks",
    "backend": "framework",
    "out": "output output_file out_dir output_dir o",
    "form": "to export_format",
    "prime": "prompt primetext prime_text start start_string start_text seed_text starting_text prefix",
    "prime_file": "prompt_file primefile",
    "length": "num_tokens max_new_tokens max_tokens max_length n_predict predict num_generate num_chars n_chars "
    "num_characters sample_len sample_length",
    "count": "num_samples n_samples num_return_sequences samples",
    "temperature": "temp",
    "top_k": "topk",
    "top_p": "topp nucleus nucleus_p",
    "stop": "stop_string stop_strings stop_sequence stop_text",
    "rounds": "repeats repetitions num_rounds",
    "track": "report_to logger loggers tracker trackers",
    "verbose": "v",
}
#: The parameters that a name can mean, in order of preference: which a command has decides.
SYNONYMS: dict[str, tuple[str, ...]] = {
    other: tuple(ours for ours, others in _OTHER_NAMES.items() if other in others.split())
    for names in _OTHER_NAMES.values()
    for other in names.split()
}
#: Names for which there are several things, or another way; each is the end of a message.
ADVICE = {
    "steps": "use `max_steps` for the length of training, and `num_steps` for the length of a sequence",
    "n_steps": "use `max_steps` for the length of training, and `num_steps` for the length of a sequence",
    "n": "use `length` for the number of characters, and `count` for the number of samples",
    "p": "use `prime` for the text to continue, and `top_p` to limit the symbols to draw from",
    "t": "use `temperature` for the randomness of samples, and `threads` for the number of CPU threads",
    "e": "use `epochs` for the number of passes over the text",
    "b": "use `batch_size` for the number of sequences trained in parallel, and `backend` for the framework",
    "q": "progress goes to standard error, which 2>/dev/null discards",
    "quiet": "progress goes to standard error, which 2>/dev/null discards",
    "silent": "progress goes to standard error, which 2>/dev/null discards",
    "no_sample": "use `sample_length=0`",
    "wandb": "use `track='wandb'`",
    "tensorboard": "use `track='tensorboard'`",
    "keep_prob": "use `dropout`, which is 1 - keep_prob",
    "embedding_size": "there is no embedding; set the size of the layers with `lstm_size`",
    "embedding_dim": "there is no embedding; set the size of the layers with `lstm_size`",
    "emsize": "there is no embedding; set the size of the layers with `lstm_size`",
    "warmup_ratio": "use `warmup_steps`, a number of steps",
    "lr_decay": "use `schedule` to choose how the learning rate falls",
    "learning_rate_decay": "use `schedule` to choose how the learning rate falls",
    "decay_lr": "use `schedule` to choose how the learning rate falls",
    "decay_rate": "use `schedule` to choose how the learning rate falls",
    "optimizer": "the optimizer is Adam, or AdamW with a `weight_decay`",
    "optim": "the optimizer is Adam, or AdamW with a `weight_decay`",
    "rnn_type": "the model is an LSTM",
    "model": "the model is an LSTM with `lstm_size` units in each of `num_layers` layers",
    "cell": "the model is an LSTM",
    "bf16": "use `precision='bfloat16'`",
    "fp16": "use `precision='bfloat16'`, which has the range of float32",
    "half": "use `precision='bfloat16'`",
    "amp": "use `precision='bfloat16'`",
    "double": "use `precision='float64'`",
    "train_frac": "the training split is what remains after `validation_share` and `test_share`",
    "train_split": "the training split is what remains after `validation_share` and `test_share`",
    "validation_split_percentage": "use `validation_share`, a fraction from 0 to 1",
    "gpu": "use `device='cuda:0'`, with a backend that finds a GPU",
    "gpuid": "use `device='cuda:0'`, with a backend that finds a GPU",
    "cuda": "use `device='cuda:0'`, with a backend that finds a GPU",
    "no_cuda": "use `device='cpu'`",
    "cpu": "use `device='cpu'`",
    "num_workers": "batches are prepared in a separate thread; `workers` sets the number of training processes",
    "greedy": "use `temperature=0`",
    "do_sample": "samples are always drawn, except with `temperature=0`",
    "num_beams": "charkit draws samples and has no beam search; `temperature=0` always takes the most likely symbol",
    "tokenizer": "use `vocabulary` to choose characters or bytes",
    "compile": "each backend compiles as its framework does; there is nothing to choose",
}


def suggestion(given: str, known: Collection[str]) -> str:
    """What to say after an unknown parameter: advice, or `` (did you mean 'x'?)``; empty where nothing is close."""
    found = counterpart(given, known)
    return advice(given, known) or (f" (did you mean {found!r}?)" if found else nearest(given, known))


def advice(given: str, known: Collection[str]) -> str:
    """The end of a message about a name in ``ADVICE``; empty where none of the parameters that it names is known."""
    said = ADVICE.get(given, "")
    named = re.findall(r"`(\w+)", said)
    return f"; {said}" if said and (not named or not set(named).isdisjoint(known)) else ""


def counterpart(given: str, known: Collection[str]) -> str | None:
    """The known parameter that another toolkit calls so, or nearly so; None where there is none."""
    closest = get_close_matches(given[:100], [*known, *SYNONYMS], n=1, cutoff=0.85)
    for name in (given, *closest):
        if name in known:
            return name
        if found := next((ours for ours in SYNONYMS.get(name, ()) if ours in known), None):
            return found
    return None
