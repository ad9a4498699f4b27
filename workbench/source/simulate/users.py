"""The population of one block: who arrives when, through which channel, invited by whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.source.simulate.catalogue import DEVICE_SHARES, GENDERS, REGION_SHARES, draw_place
from workbench.source.simulate.truth import INVITATION, Truth

DAY_MS = 86_400_000
UNKNOWN = -1
EARLY_DAYS, EARLY_SHARE = 20, 0.45
NULL_CHANNEL_SHARE, NULL_AGE_SHARE, NULL_GENDER_SHARE = 0.005, 0.04, 0.06
# Local hours 0 to 22; nobody starts after 23:00, so that every visit ends on the day it began.
HOUR_WEIGHTS = np.array([5, 2, 1, 1, 1, 2, 5, 9, 12, 13, 14, 17, 22, 19, 15, 15, 16, 18, 24, 33, 40, 40, 30.0])


@dataclass(frozen=True)
class Population:
    """One position per user of the block, sorted by arrival. Positions refer to the lists of ``Truth``.

    ``age`` is what drives behaviour, ``shown_age`` what the shop knows. ``arms`` has one column per experiment,
    0 control and 1 treatment. ``invite_assigned_ms`` is -1 for users outside the invitation experiment.
    ``control_draw`` says whether an invited user would have come in the control arm, too.
    """

    arrival_ms: np.ndarray
    channel: np.ndarray
    age: np.ndarray
    shown_age: np.ndarray
    gender: np.ndarray
    region: np.ndarray
    device: np.ndarray
    inviter: np.ndarray
    arms: np.ndarray
    invite_assigned_ms: np.ndarray
    control_draw: np.ndarray
    propensity: np.ndarray
    is_thrifty: np.ndarray
    click_factor: np.ndarray
    level: np.ndarray
    leave_draw: np.ndarray

    def __len__(self) -> int:
        return len(self.arrival_ms)


def make_population(
    size: int, days: int, truth: Truth, rng: np.random.Generator, invite_arm: int | None = None
) -> Population:
    """Draw one block of users.

    Parameters
    ----------
    size, days
        Users in the block; length of the simulated period.
    truth, rng
        Planted effects; generator of this block.
    invite_arm
        Puts every inviter into this arm of the invitation experiment; null draws it.
    """
    arrival = arrivals(size, days, rng)
    arm = (rng.random(size) < truth.experiments[INVITATION].treatment_share).astype(np.int8)
    if invite_arm is not None:
        arm[:] = invite_arm
    assigned = invitation_times(arrival, days, truth, rng)
    inviter, friend_arrival, control_draw = invitees(assigned, arm, days, truth, rng)
    settled, own = fit_to_size(size, inviter)
    assigned[settled:] = UNKNOWN
    kept = inviter < settled
    friends = int(kept.sum())
    all_arrival = np.concatenate([arrival[:own], friend_arrival[kept]])
    order = np.argsort(all_arrival, kind="stable")
    new_place = np.argsort(order, kind="stable")
    sorted_inviter = np.concatenate([np.full(own, UNKNOWN), inviter[kept]])[order]
    return describe(
        arrival_ms=all_arrival[order],
        inviter=np.where(sorted_inviter >= 0, new_place[sorted_inviter], UNKNOWN),
        invite_arm=np.concatenate([arm[:own], np.zeros(friends, dtype=np.int8)])[order],
        invite_assigned_ms=np.concatenate([assigned[:own], np.full(friends, UNKNOWN)])[order],
        control_draw=np.concatenate([np.zeros(own), control_draw[kept]])[order],
        truth=truth,
        rng=rng,
    )


def times_of_day(draws: np.ndarray) -> np.ndarray:
    """Turn uniform draws into milliseconds after local midnight: quiet nights, busy evenings."""
    bounds = np.concatenate([[0.0], np.cumsum(HOUR_WEIGHTS / HOUR_WEIGHTS.sum())])
    return (np.interp(draws, bounds, np.arange(len(bounds))) * 3_600_000).astype(np.int64)


def arrivals(size: int, days: int, rng: np.random.Generator) -> np.ndarray:
    """Draw arrival times: a strong start, then an even flow."""
    is_early = rng.random(size) < EARLY_SHARE
    draw = rng.random(size)
    day = np.where(is_early, draw * EARLY_DAYS, EARLY_DAYS + draw * (days - EARLY_DAYS)).astype(np.int64)
    return day * DAY_MS + times_of_day(rng.random(size))


def invitation_times(arrival: np.ndarray, days: int, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    """Say when a user is asked to invite friends: 1 to 10 days after arrival, -1 for users never asked."""
    asked = rng.random(len(arrival)) < truth.invitation.asked_rate
    at = arrival + ((1 + 9 * rng.random(len(arrival))) * DAY_MS).astype(np.int64)
    return np.where(asked & (at < days * DAY_MS), at, UNKNOWN)


def invitees(
    assigned: np.ndarray, arm: np.ndarray, days: int, truth: Truth, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the friends: their inviter, their arrival, and the draw that lets them come in the control arm too.

    Friends are drawn at the higher rate and thinned in the other arm, so that the two arms can be compared on
    the same draws.
    """
    invitation, experiment = truth.invitation, truth.experiments[INVITATION]
    rates = np.array([invitation.control_invitees, invitation.treatment_invitees])
    if not experiment.is_active:
        rates[:] = rates[experiment.default_arm]
    counts = rng.poisson(np.where(assigned >= 0, rates.max(), 0.0))
    inviter = np.repeat(np.arange(len(assigned)), counts)
    delay = rng.exponential(invitation.mean_delay_days, len(inviter))
    day = (assigned[inviter] // DAY_MS + 1 + delay).astype(np.int64)
    arrival = day * DAY_MS + times_of_day(rng.random(len(inviter)))
    draw = rng.random(len(inviter))
    comes = (day < days) & (draw < rates[arm[inviter]] / rates.max())
    return inviter[comes], arrival[comes], draw[comes]


def fit_to_size(size: int, inviter: np.ndarray) -> tuple[int, int]:
    """Say how many users stay who came by themselves, so that they and their friends fill the block.

    Returns
    -------
    tuple
        Users who keep their friends; those plus the users without friends who take the places left over.
    """
    filled = np.cumsum(1 + np.bincount(inviter, minlength=size))
    settled = int(np.searchsorted(filled, size, side="right"))
    spare = size - int(filled[settled - 1]) if settled else size
    return settled, settled + spare


def describe(
    *,
    arrival_ms: np.ndarray,
    inviter: np.ndarray,
    invite_arm: np.ndarray,
    invite_assigned_ms: np.ndarray,
    control_draw: np.ndarray,
    truth: Truth,
    rng: np.random.Generator,
) -> Population:
    """Give every user a channel, an age and the traits that drive behaviour."""
    size = len(arrival_ms)
    names = [one.name for one in truth.channels]
    own_channel = draw_place(rng.random(size), np.cumsum([one.share for one in truth.channels]))
    channel = np.where(inviter >= 0, names.index("referral"), own_channel)
    age_bounds = np.cumsum([one.age_shares for one in truth.channels], axis=1)[:, :-1]
    age = (rng.random(size)[:, None] >= age_bounds[channel]).sum(axis=1)
    arms = rng.random((size, len(truth.experiments))) < [one.treatment_share for one in truth.experiments]
    arms = arms.astype(np.int8)
    arms[:, INVITATION] = invite_arm
    return Population(
        arrival_ms=arrival_ms,
        channel=hide(channel, NULL_CHANNEL_SHARE, rng),
        age=age,
        shown_age=hide(age, NULL_AGE_SHARE, rng),
        gender=hide(rng.integers(0, len(GENDERS), size), NULL_GENDER_SHARE, rng),
        region=draw_place(rng.random(size), np.cumsum(REGION_SHARES)),
        device=draw_place(rng.random(size), np.cumsum(DEVICE_SHARES)),
        inviter=inviter,
        arms=arms,
        invite_assigned_ms=invite_assigned_ms,
        control_draw=control_draw,
        propensity=np.exp(rng.normal(-0.125, 0.5, size)),
        is_thrifty=rng.random(size) < truth.behaviour.thrifty_share,
        click_factor=np.exp(rng.normal(-0.125, 0.5, size)),
        level=draw_place(rng.random(size), np.cumsum(truth.behaviour.start_levels)),
        leave_draw=rng.random(size),
    )


def hide(values: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Make a share of the values unknown to the shop."""
    return np.where(rng.random(len(values)) < share, UNKNOWN, values)
