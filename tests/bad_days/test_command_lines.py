"""Command lines that nobody should type: refused in one message, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from answers import check_refused, examples, motrix
from hypothesis import assume, given
from hypothesis import strategies as st

DOOR = "command lines"
COMMANDS = ("list", "plugins", "train", "eval", "view", "play", "record", "bench")
HUGE = str(10**30)
DIGITS = "9" * 5000  # more than Python turns into an integer
LONG = "x" * 5000  # longer than any file name
STRANGE = "\udcff"  # a byte that is no UTF-8, as Python passes it on

TRAIN = ("train", "cartpole", "--backend", "torch", "--num-envs", "8")

HAND_MADE = [
    # Commands
    (["lisst"], "Did you mean 'list'?"),
    ([""], "no command ''"),
    (["--"], "no command '--'"),
    (["--version"], "no command '--version'"),
    (["-x"], "no command '-x'"),
    (["LIST"], "no command 'LIST'"),
    (["list "], "Did you mean 'list'?"),
    (["cartpole", "train"], "no command 'cartpole'"),
    (["--json", "list"], "no command '--json'"),
    ([STRANGE], "no command"),
    ([LONG], "no command"),
    (["list", "extra"], "extra"),
    (["list", "--js"], "--js"),
    (["list", "--json=1"], "--json"),
    (["list", ""], "unrecognized"),
    (["list", "-v", "--verbos"], "--verbos"),
    (["plugins", "cartpole"], "cartpole"),
    (["plugins", "--chek"], "--chek"),
    # What a command is about
    (["train"], "takes an environment ENV first"),
    (["train", ""], "no environment named ''"),
    (["train", "--"], "takes an environment ENV first"),
    (["train", "--seed", "1", "cartpole"], "takes an environment ENV first"),
    (["train", "cartpol"], "Did you mean 'cartpole'?"),
    (["train", "Cartpole"], "Did you mean 'cartpole'?"),
    (["train", STRANGE], "no environment named"),
    (["train", LONG], "no environment named"),
    (["train", "cartpole", "acme-slide"], "acme-slide"),
    (["train", "cartpole", "--", "acme-slide"], "acme-slide"),
    (["train", "runs/cartpole"], "no environment named"),
    (["eval"], "takes a run or an environment"),
    (["eval", ""], "no environment named ''"),
    (["eval", "."], "it holds no run.json"),
    (["eval", "cartpole"], "no run of 'cartpole' under runs"),
    (["eval", "cartpol"], "Did you mean 'cartpole'?"),
    (["eval", "/no/such/run"], "no run at /no/such/run"),
    (["eval", __file__], "there is no such folder"),
    (["eval", f"{__file__}/x"], "test_command_lines.py"),
    (["eval", STRANGE], "no environment named"),
    (["eval", LONG], "no environment named"),
    (["eval", f"/{LONG}"], "File name too long"),
    (["eval", "cartpole", "--runs", "/no/such"], "under /no/such"),
    (["eval", "cartpole", "--runs", __file__], "test_command_lines.py"),
    (["eval", "cartpole", "--runs", STRANGE], "no run of 'cartpole'"),
    (["play"], "no run under runs"),
    (["play", "--runs"], "no run under runs"),
    (["play", "--checkpoint", "best"], "no run under runs"),
    (["play", "--runs", "/no/such"], "under /no/such"),
    (["play", "--", "cartpole"], "no run under runs"),
    (["play", ""], "no environment named ''"),
    (["play", "cartpol"], "Did you mean 'cartpole'?"),
    (["record"], "takes a run or an environment"),
    (["record", "/"], "it holds no run.json"),
    (["record", "cartpole"], "no run of 'cartpole'"),
    (["view"], "takes an environment ENV first"),
    (["view", "cartpol"], "Did you mean 'cartpole'?"),
    (["bench"], "takes an environment ENV first"),
    (["bench", "cartpol"], "Did you mean 'cartpole'?"),
    (["bench", "cartpole", "acme-slide"], "acme-slide"),
    # Numbers
    ([*TRAIN, "--seed"], "--seed"),
    ([*TRAIN, "--seed", "x"], "--seed"),
    ([*TRAIN, "--seed", "nan"], "--seed"),
    ([*TRAIN, "--seed", "1.5"], "--seed"),
    ([*TRAIN, "--seed", ""], "--seed"),
    ([*TRAIN, "--seed", DIGITS], "--seed"),
    ([*TRAIN, "--seed", "-1"], "seed = -1 must be in [0, 2**32)"),
    ([*TRAIN, "--seed", str(2**32)], "must be in [0, 2**32)"),
    ([*TRAIN, "--seed", HUGE], "must have an absolute value below 2**63"),
    ([*TRAIN, "--rl.seed", "-1"], "must be in [0, 2**32)"),
    ([*TRAIN, "--num-envs", "0"], "num_envs = 0 must be at least 1"),
    ([*TRAIN, "--num-envs", "-1"], "num_envs = -1 must be at least 1"),
    ([*TRAIN, "--num-envs", "1e9"], "--num-envs"),
    ([*TRAIN, "--num-envs", "1000000000"], "GiB of memory"),
    ([*TRAIN, "--num-envs", HUGE], "must have an absolute value below 2**63"),
    ([*TRAIN, "--num-envs", "1", "2"], "2"),
    ([*TRAIN, "--eval-episodes", "-1"], "episodes = -1"),
    ([*TRAIN, "--eval-episodes", HUGE], "episodes = 1000"),
    ([*TRAIN, "--env.max-episode-seconds", "None"], "no time limit"),
    ([*TRAIN, "--rl.max-env-steps", "0"], "max_env_steps = 0"),
    ([*TRAIN, "--rl.max-env-steps", "-5"], "max_env_steps = -5"),
    ([*TRAIN, "--rl.learning-rate", "nan"], "learning_rate = nan must be finite"),
    ([*TRAIN, "--rl.learning-rate", "-inf"], "learning_rate = -inf must be finite"),
    ([*TRAIN, "--rl.learning-rate", "1e999"], "learning_rate = inf must be finite"),
    ([*TRAIN, "--rl.learning-rate", "0"], "learning_rate = 0.0 must be positive"),
    ([*TRAIN, "--rl.rollouts", "0"], "rollouts = 0"),
    ([*TRAIN, "--rl.mini-batches", "0"], "mini_batches = 0"),
    ([*TRAIN, "--rl.discount-factor", "1.01"], "discount_factor = 1.01"),
    ([*TRAIN, "--rl.check-point-interval", "0"], "check_point_interval = 0"),
    ([*TRAIN, "--rl.policy-hidden-layer-sizes"], "policy_hidden_layer_sizes"),
    ([*TRAIN, "--rl.policy-hidden-layer-sizes", "32", "0"], "policy_hidden_layer_sizes"),
    ([*TRAIN, "--rl.policy-hidden-layer-sizes", "32,32"], "--rl.policy-hidden-layer-sizes"),
    ([*TRAIN, "--env.sim-dt", "nan"], "sim_dt = nan"),
    ([*TRAIN, "--env.sim-dt", "0"], "sim_dt = 0"),
    ([*TRAIN, "--env.sim-dt", "-0.0"], "sim_dt = -0.0"),
    ([*TRAIN, "--env.sim-dt", "1e-308"], "at most 1000000 physics steps"),
    ([*TRAIN, "--env.sim-dt", "5e-324"], "at most 1000000 physics steps"),
    ([*TRAIN, "--env.sim-dt", "0.02"], "integer multiple"),
    ([*TRAIN, "--env.ctrl-dt", "inf"], "ctrl_dt = inf"),
    ([*TRAIN, "--env.ctrl-dt", "1e308"], "ctrl_dt = 1e+308"),
    ([*TRAIN, "--env.ctrl-dt", "0.015"], "integer multiple"),
    ([*TRAIN, "--env.max-episode-seconds", "0"], "max_episode_seconds = 0"),
    ([*TRAIN, "--env.max-episode-seconds", "nan"], "max_episode_seconds = nan"),
    ([*TRAIN, "--env.max-episode-seconds", "1e308"], "None means no time limit"),
    ([*TRAIN, "--env.max-episode-seconds", "0.001"], "shorter than one control step"),
    ([*TRAIN, "--env.render-spacing", "-1"], "render_spacing = -1.0"),
    (["view", "cartpole", "--num-envs", "0"], "num_envs = 0"),
    (["view", "cartpole", "--num-envs", "1000000000"], "GiB of memory"),
    (["view", "cartpole", "--seed", "-1"], "seed"),
    (["view", "cartpole", "--seed", HUGE * 2], "seed must be an integer in [0, 2**128)"),
    (["view", "cartpole", "--fps", "0"], "--fps 0.0"),
    (["view", "cartpole", "--fps", "-1"], "--fps -1.0"),
    (["view", "cartpole", "--fps", "nan"], "--fps nan"),
    (["view", "cartpole", "--fps", "inf"], "--fps inf"),
    (["view", "cartpole", "--fps", "1e-320"], "--fps"),
    (["view", "cartpole", "--seconds", "0"], "--seconds 0.0"),
    (["view", "cartpole", "--seconds", "-1"], "--seconds -1.0"),
    (["view", "cartpole", "--seconds", "nan"], "--seconds nan"),
    (["view", "cartpole", "--seconds", "inf"], "--seconds inf"),
    (["view", "cartpole", "--max-steps", "0"], "--max-steps 0"),
    (["view", "cartpole", "--max-steps", "-1"], "--max-steps -1"),
    (["view", "cartpole", "--size", "0", "0"], "0 x 0 pixels"),
    (["view", "cartpole", "--size", "-1", "64"], "-1 x 64 pixels"),
    (["view", "cartpole", "--size", "64"], "--size"),
    (["view", "cartpole", "--size", "64", "48", "3"], "3"),
    (["view", "cartpole", "--size", "1000000", "1000000"], "1000000 x 1000000 pixels"),
    (["view", "cartpole", "--size", HUGE, "64"], "pixels cannot be drawn"),
    (["view", "cartpole", "--azimuth", "nan"], "azimuth=nan"),
    (["view", "cartpole", "--elevation", "inf"], "elevation=inf"),
    (["view", "cartpole", "--distance", "0"], "distance=0.0"),
    (["view", "cartpole", "--distance", "-1"], "distance=-1.0"),
    (["view", "cartpole", "--out", "x.avi"], "a video ends in .mp4 or .gif"),
    (["view", "cartpole", "--out", ""], "a video ends in .mp4 or .gif"),
    (["view", "cartpole", "--out", "mp4"], "a video ends in .mp4 or .gif"),
    (["bench", "cartpole", "--num-envs"], "at least one environment"),
    (["bench", "cartpole", "--num-envs", "0"], "at least one environment"),
    (["bench", "cartpole", "--num-envs", "4", "-1"], "at least one environment"),
    (["bench", "cartpole", "--num-envs", "1000000000"], "GiB of memory"),
    (["bench", "cartpole", "--seconds", "0"], "some time"),
    (["bench", "cartpole", "--seconds", "nan"], "some time"),
    (["bench", "cartpole", "--seconds", "inf"], "some time"),
    (["bench", "cartpole", "--seconds", "soon"], "--seconds"),
    # Choices
    (["train", "cartpole", "--rllib"], "--rllib"),
    (["train", "cartpole", "--rllib", ""], "rllib ''"),
    (["train", "cartpole", "--rllib", "skrll"], "Did you mean 'skrl'?"),
    (["train", "cartpole", "--rllib", "skrl", "--rllib", "rlib"], "'rlib'"),
    (["train", "cartpole", "--backend"], "--backend"),
    (["train", "cartpole", "--backend", ""], "backend ''"),
    (["train", "cartpole", "--backend", "tensorflow"], "'tensorflow'"),
    (["train", "cartpole", "--backend", "Torch"], "Did you mean 'torch'?"),
    ([*TRAIN, "--sim-backend"], "--sim-backend"),
    ([*TRAIN, "--sim-backend", ""], "no simulation backend named ''"),
    ([*TRAIN, "--sim-backend", "motrixsin"], "Did you mean 'motrixsim'?"),
    ([*TRAIN, "--rl.device", "toaster"], "toaster"),
    ([*TRAIN, "--render", "yes"], "yes"),
    (["view", "cartpole", "--sim-backend", "bullet"], "no simulation backend named 'bullet'"),
    (["bench", "cartpole", "--sim-backend", "bullet"], "no simulation backend named 'bullet'"),
    # Options
    ([*TRAIN, "--learning-rate", "1"], "--learning-rate"),
    ([*TRAIN, "--rl.learning-rat", "1"], "--rl.learning-rate"),
    ([*TRAIN, "--rl", "1"], "--rl"),
    ([*TRAIN, "--rl.", "1"], "--rl."),
    ([*TRAIN, "--env.ctrl-dt.x", "1"], "--env.ctrl-dt"),
    ([*TRAIN, "-n", "3"], "-n"),
    ([*TRAIN, "---seed", "3"], "---seed"),
    ([*TRAIN, f"--{STRANGE}", "3"], "Unrecognized"),
    ([*TRAIN, f"--{LONG}"], "Unrecognized"),
    (["eval", "cartpole", "--runs"], "no run of 'cartpole'"),
    # Files
    ([*TRAIN, "--env.model-file", ""], "model_file = '' does not exist"),
    ([*TRAIN, "--env.model-file", "/"], "model_file = '/' does not exist"),
    ([*TRAIN, "--env.model-file", "nope.xml"], "model_file = 'nope.xml' does not exist"),
    ([*TRAIN, "--env.model-file", LONG], "does not exist"),
    ([*TRAIN, "--env.model-file", STRANGE], "does not exist"),
    ([*TRAIN, "--env.model-file", __file__], "test_command_lines.py' cannot be read"),
    ([*TRAIN, "--runs", "/dev/null/runs"], "cannot create a run in /dev/null/runs"),
    ([*TRAIN, "--runs", LONG], "File name too long"),
]  # fmt: skip


def refused(argv, *names, here):
    check_refused(motrix(*argv), *names, door=DOOR)
    assert not list(here.iterdir()), f"{argv} left something behind"


def test_no_argument_at_all_is_no_mistake():
    assert motrix().code == 0


@pytest.mark.parametrize(("argv", "says"), HAND_MADE, ids=lambda part: ascii(part)[-40:])
def test_by_hand(argv, says, here):
    refused(argv, says, here=here)


def test_the_shell_sees_the_same(here):
    for argv, code in ((["lisst"], 1), (["eval", os.fsencode(STRANGE)], 1), (["list", "x"], 2)):
        command = [
            sys.executable,
            "-c",
            "import sys; from motrix_rl.cli import main; sys.exit(main())",
        ]
        done = subprocess.run([*command, *argv], capture_output=True, cwd=here, check=False)
        assert done.returncode == code
        assert done.stdout == b""
        assert b"Traceback" not in done.stderr
    assert not list(here.iterdir())


def test_names_that_the_terminal_cannot_spell(tmp_path):
    code = "import sys; from motrix_rl.cli import main; main(); print(sys.argv[1], '±')"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help", os.fsencode(STRANGE)],
        capture_output=True,
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout.endswith(b"--help \\xb1\n")


# By hypothesis. What cannot be on a command line: zero bytes.

WORDS = st.text(st.characters(exclude_characters="\x00"), max_size=12) | st.text(
    st.characters(categories=["Cs"], min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=3
)
NUMBERS = (
    st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(
        [HUGE, f"-{HUGE}", DIGITS, "1e9", "1e999", "0x10", "1_000", "²", "½", "--", ""]
    )
)
HELP = ("-h", "--help")


@examples(60)
@given(st.lists(WORDS, min_size=1, max_size=4))
def test_any_words(here, words):
    assume(words[0] not in (*COMMANDS, *HELP))
    refused(words, "no command", here=here)


@examples(100)
@given(st.sampled_from(COMMANDS[2:]), WORDS, st.lists(WORDS | NUMBERS, max_size=3))
def test_any_subject(here, command, subject, rest):
    assume(subject not in HELP)
    assume(not (here / subject).exists() and "/" not in subject)
    refused([command, subject, *rest], here=here)


@examples(60)
@given(st.sampled_from(COMMANDS[:2]), st.lists(WORDS, min_size=1, max_size=3))
def test_listings_take_nothing_else(here, command, words):
    assume(not any(word in (*HELP, "", "--", "-v", "-") or word.startswith("-") for word in words))
    refused([command, *words], here=here)


NAMED = ("train", "view", "bench")


@examples(60)
@given(st.sampled_from(NAMED), st.text(st.characters(categories=["L", "N"]), min_size=1), NUMBERS)
def test_any_unknown_option(here, command, name, value):
    refused([command, "cartpole", f"--{name}-{name}", value], here=here)


SEEDS = st.integers(max_value=-1) | st.integers(min_value=2**32)
COUNTS = st.integers(max_value=0) | st.integers(min_value=10**9)
BAD_TIMES = st.floats(max_value=0) | st.sampled_from([float("nan"), float("inf"), float("-inf")])
BAD_NUMBERS = st.one_of(
    st.tuples(st.just("--seed"), SEEDS),
    st.tuples(st.sampled_from(["--num-envs", "--rl.num-envs"]), COUNTS),
    st.tuples(st.sampled_from(["--rl.rollouts", "--rl.learning-epochs"]), st.integers(max_value=0)),
    st.tuples(st.just("--eval-episodes"), st.integers(max_value=-1)),
    st.tuples(st.just("--rl.max-env-steps"), st.integers(max_value=0)),
    st.tuples(st.sampled_from(["--env.sim-dt", "--env.max-episode-seconds"]), BAD_TIMES),
    st.tuples(st.just("--env.ctrl-dt"), BAD_TIMES | st.floats(min_value=1e300)),
    st.tuples(st.sampled_from(["--rl.learning-rate", "--rl.ratio-clip"]), BAD_TIMES),
    st.tuples(st.sampled_from(["--seed", "--num-envs"]), st.floats().map(str)),
    st.tuples(st.sampled_from(["--rl.grad-norm-clip", "--env.sim-dt"]), st.text("xyz", min_size=1)),
)


@examples(70)
@given(BAD_NUMBERS)
def test_numbers_out_of_range(here, option):
    name, value = option
    # The equals sign keeps a negative number from being taken for an option.
    refused([*TRAIN[:-2], f"{name}={value}"], here=here)


@examples(30)
@given(
    st.sampled_from(["--fps", "--seconds"]).flatmap(
        lambda name: st.tuples(st.just(name), BAD_TIMES | st.floats(min_value=1.1e6))
    )
    | st.tuples(st.just("--max-steps"), st.integers(max_value=0))
    | st.tuples(st.just("--num-envs"), COUNTS)
    | st.tuples(st.just("--out"), WORDS.filter(lambda text: not text.endswith((".mp4", ".gif"))))
)
def test_pictures_that_cannot_be(here, option):
    name, value = option
    refused(["view", "cartpole", f"{name}={value}"], here=here)
