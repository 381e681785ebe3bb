"""Names of the columns of a batch, and of the one module that a single agent has."""

from __future__ import annotations

DEFAULT_MODULE_ID = "default_policy"
"""Under this id a single-agent module is found inside a `MultiRLModule`."""


class Columns:
    """Keys of the dictionaries that go into and come out of the `forward_*` methods."""

    # What environment and episode give.
    OBS = "obs"
    STATE = "state"
    """Privileged observations, which only the critic sees (`NpEnv.state_space`)."""
    INFOS = "infos"
    ACTIONS = "actions"
    ACTIONS_FOR_ENV = "actions_for_env"
    REWARDS = "rewards"
    TERMINATEDS = "terminateds"
    TRUNCATEDS = "truncateds"
    NEXT_OBS = "new_obs"
    PREV_ACTIONS = "prev_actions"
    PREV_REWARDS = "prev_rewards"
    EPS_ID = "eps_id"
    AGENT_ID = "agent_id"
    MODULE_ID = "module_id"
    SEQ_LENS = "seq_lens"
    T = "t"

    # What modules give.
    STATE_IN = "state_in"
    NEXT_STATE_IN = "next_state_in"
    STATE_OUT = "state_out"
    NEXT_STATE_OUT = "next_state_out"
    EMBEDDINGS = "embeddings"
    ACTION_DIST_INPUTS = "action_dist_inputs"
    ACTION_PROB = "action_prob"
    ACTION_LOGP = "action_logp"
    VF_PREDS = "vf_preds"
    VALUES_BOOTSTRAPPED = "values_bootstrapped"

    # What a learner adds.
    ADVANTAGES = "advantages"
    VALUE_TARGETS = "value_targets"
    RETURNS_TO_GO = "returns_to_go"
    INTRINSIC_REWARDS = "intrinsic_rewards"
    LOSS_MASK = "loss_mask"
