"""What other toolkits call charkit's settings, so that a name from one of them leads to the right one.

The names are those of PyTorch's examples, Keras, Hugging Face's trainer and generation, nanoGPT, char-rnn, llama.cpp
and ``llm``. The command line takes the names in ``SYNONYMS`` as options; keywords in Python and keys in TOML files are
refused with the right name. A name in ``AMBIGUOUS`` can mean several of them, and one in ``ADVICE`` has no counterpart:
the message says what there is instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

#: How alike two names are, from 0 to 1, where one may be the other mistyped: less is a word for something else.
_MISTYPED = 0.76

#: Other names of a parameter: they mean the same, and take the same values.
_OTHER_NAMES = {
    "learning_rate": "lr base_lr",
    "lstm_size": "hidden_size hidden_dim hidden_units hidden n_hidden num_hidden nhid rnn_size rnn_units units "
    "lstm_units num_units d_model n_embd model_size",
    "num_layers": "layers nlayers n_layer n_layers num_hidden_layers",
    "dropout": "dropout_rate dropout_prob hidden_dropout_prob",
    "num_steps": "seq_length seq_len sequence_length max_seq_length max_seq_len block_size bptt context_length "
    "context context_size maxlen timesteps time_steps unroll_steps",
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
    # Before the run: a function that takes both reads the one and writes the other.
    "out": "output output_file out_dir output_dir o",
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
    "form": "to export_format",
    "prime": "prompt primetext prime_text start start_string start_text seed_text starting_text prefix",
    "prime_file": "prompt_file primefile",
    "length": "num_tokens max_new_tokens max_tokens n_predict predict num_generate num_chars n_chars "
    "num_characters sample_len sample_length",
    "count": "num num_samples n_samples num_return_sequences samples",
    "temperature": "temp",
    "top_k": "topk",
    "top_p": "topp nucleus nucleus_p",
    "stop": "stop_string stop_strings stop_sequence stop_text until",
    "rounds": "repeats repetitions num_rounds",
    "track": "report_to logger loggers tracker trackers",
    "sort": "sort_by order_by",
    "verbose": "v",
}
#: The parameters that a name means, in order of preference: which a command has decides.
SYNONYMS: dict[str, tuple[str, ...]] = {
    other: tuple(ours for ours, others in _OTHER_NAMES.items() if other in others.split())
    for names in _OTHER_NAMES.values()
    for other in names.split()
}
_TRAINING = {"max_steps": "for the length of training", "num_steps": "for the length of a sequence"}
#: Names that can mean several parameters, and what each of those is for.
AMBIGUOUS: dict[str, dict[str, str]] = {
    "steps": {**_TRAINING, "length": "for the number of characters"},
    "n_steps": {**_TRAINING, "length": "for the number of characters"},
    "max_length": {
        "length": "for the number of characters after the prime text",
        "sample_length": "for the length of a sample",
        "num_steps": "for the length of a sequence",
    },
    "eval_iters": {
        "eval_every": "for the number of steps between validations, each of which scores the whole split",
        "limit": "for the number of symbols to score",
    },
    "n": {"length": "for the number of characters", "count": "for the number of samples"},
    "p": {"prime": "for the text to continue", "top_p": "to limit the symbols to draw from"},
    "t": {"temperature": "for the randomness of samples", "threads": "for the number of CPU threads"},
    "b": {"batch_size": "for the number of sequences trained in parallel", "backend": "for the framework"},
}
#: Messages about names for which there is something else, and those names.
_ADVISED = {
    "use `epochs` for the number of passes over the text": "e",
    "use `on_event`, which is called with every event of training": "callback callbacks hooks on_epoch_end on_step",
    "use `on_event=lambda event: None` to hide the progress": "verbose q quiet silent progress progress_bar "
    "show_progress disable_tqdm",
    "progress goes to standard error, which 2>/dev/null discards": "q quiet silent",
    "use `sample_length=0`": "no_sample",
    "use `track='wandb'`": "wandb wandb_log wandb_run_name",
    "use `track='wandb'`, with the project in the environment variable WANDB_PROJECT": "wandb_project",
    "use `track='tensorboard'`": "tensorboard",
    "the run's directory holds its logs, and those of `track='tensorboard'`": "log_dir logdir logging_dir",
    "use `run` for the directory of the new run": "name run_name experiment experiment_name",
    "use `dropout`, which is 1 - keep_prob": "keep_prob",
    "the model reads in one direction only, since it predicts the next symbol": "bidirectional",
    "there is no embedding; set the size of the layers with `lstm_size`": "embedding_size embedding_dim emsize",
    "use `warmup_steps`, a number of steps": "warmup_ratio",
    "use `schedule` to choose how the learning rate falls": "lr_decay learning_rate_decay decay_lr decay_rate",
    "use `patience`, a number of validations without improvement": "early_stopping early_stop",
    "each step processes a whole batch; set `batch_size`": "gradient_accumulation_steps accumulate_grad_batches",
    "each sequence continues where the previous one ended, so sequences are not shuffled; "
    "`epoch_offset='random'` begins each epoch at a random position": "shuffle",
    "the optimizer is Adam, or AdamW if `weight_decay` is set": "optimizer optim",
    "the model is an LSTM": "rnn_type cell cell_type rnn gru",
    "the model is an LSTM with `lstm_size` units in each of `num_layers` layers": "model",
    "the model is an LSTM, without attention; set its size with `lstm_size`": "n_head n_heads num_heads nhead",
    "the model is always an LSTM; use `precision` for its data type": "type",
    "use `precision='bfloat16'`": "bf16 half amp",
    "use `precision='bfloat16'`, which has the range of float32": "fp16",
    "use `precision='float64'`": "double",
    "the training split is what remains after `validation_share` and `test_share`": "train_frac train_split",
    "use `validation_share`, a fraction from 0 to 1": "validation_split_percentage",
    "use `device='cuda:0'`, with a backend that can use a GPU": "gpu gpuid cuda",
    "use `device='cpu'`": "no_cuda cpu",
    "batches are prepared in a separate thread; `workers` sets the number of training processes": "num_workers",
    "use `workers` for the number of training processes": "world_size nproc nproc_per_node",
    "the text determines how many symbols there are, up to `max_vocabulary`": "vocab_size vocabulary_size",
    "use `vocabulary` to choose characters or bytes": "tokenizer",
    "each backend compiles in its framework's own way; there is nothing to set": "compile",
    "write the string to a file, and give its path": "string",
    # Of sampling, where training is meant: only that has `eval_every`.
    "the sample at each validation (`eval_every`) is drawn at temperature 0.8; choose another one when you sample "
    "from the trained run": "temperature",
    "the sample at each validation (`eval_every`) continues a line of the text; give a prime text when you sample "
    "from the trained run": "prime",
    "the sample at each validation (`eval_every`) is drawn from all symbols; limit them when you sample "
    "from the trained run": "top_k top_p",
    "use `sample_length` for the length of a sample": "length",
    "use `temperature=0`": "greedy",
    "symbols are drawn at random, except with `temperature=0`": "do_sample",
    "charkit draws samples and has no beam search; `temperature=0` always takes the most likely symbol": "num_beams",
    "use `top_k` or `top_p` to limit the symbols to draw from": "min_p typical_p",
    "there are no penalties; a higher `temperature` gives less repetition": "repetition_penalty repeat_penalty "
    "presence_penalty frequency_penalty no_repeat_ngram_size",
    # Of the command alone: in Python, samples are returned.
    "samples go to standard output; save them with > FILE, and add `plain` to leave out the headers": "out",
    "a single sample is printed as it is drawn, with or without `plain`": "stream",
}
#: The ends of messages about each name that has no counterpart: the first one that fits is said.
ADVICE = {
    name: [said for said, names in _ADVISED.items() if name in names.split()]
    for names in _ADVISED.values()
    for name in names.split()
}


def suggestion(given: str, known: Collection[str]) -> str:
    """What to say after an unknown parameter: advice, or `` (did you mean 'x'?)``; empty where nothing is close."""
    found = counterpart(given, known) or closest(given, known)
    return advice(given, known) or (f" (did you mean {found!r}?)" if found else "")


def advice(given: str, known: Collection[str]) -> str:
    """The end of a message about a name in ``AMBIGUOUS`` or ``ADVICE``, or about another name of one.

    Empty where what the name means is known, and where none of the parameters that the advice names is.
    """
    names = (given, *SYNONYMS.get(given, ()))
    if not set(names).isdisjoint(known):
        return ""
    for name in names:
        uses = [f"`{ours}` {what}" for ours, what in AMBIGUOUS.get(name, {}).items() if ours in known]
        for said in [f"use {_joined(uses)}"] if uses else ADVICE.get(name, []):
            named = re.findall(r"`(\w+)", said)
            if not named or not set(named).isdisjoint(known):
                return f"; {said}"
    return ""


def _joined(uses: list[str]) -> str:
    return ", and ".join(filter(None, (", ".join(uses[:-1]), uses[-1])))


def counterpart(given: str, known: Collection[str]) -> str | None:
    """The known parameter that another toolkit calls so, or nearly so; None where there is none."""
    others = [other for other, fields in SYNONYMS.items() if not set(fields).isdisjoint(known)]
    near = get_close_matches(given[:100], [*known, *others], n=1, cutoff=0.85)
    for name in (given, *near):
        if name in known:
            return name
        if found := next((ours for ours in SYNONYMS.get(name, ()) if ours in known), None):
            return found
    return None


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name that may have been mistyped, or of which only one word was given; None where there is none."""
    names = list(known)
    mistyped = get_close_matches(given[:100], names, n=1, cutoff=_MISTYPED)
    return next(iter((*mistyped, *(name for name in names if given in re.split("[-_]", name)))), None)
