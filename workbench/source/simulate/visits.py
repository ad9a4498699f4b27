"""Who visits on which day: activity levels, the wave of leavers, and the channel that brings each visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.source.simulate.catalogue import Advertisement, draw_place
from workbench.source.simulate.truth import Truth
from workbench.source.simulate.users import DAY_MS, UNKNOWN, Population, times_of_day

DORMANT, REGULAR = 0, 2
# Where a later visit comes from: direct, the user's own channel, email, organic search.
LATER_ORIGINS = (0.48, 0.28, 0.10, 0.14)


@dataclass(frozen=True)
class Visits:
    """One position per visit, sorted by day and user; a user visits at most once a day.

    ``day_start`` holds the first visit of each day and, last, their number. ``advertisement`` is -1 without one.
    """

    user: np.ndarray
    day: np.ndarray
    start_ms: np.ndarray
    channel: np.ndarray
    advertisement: np.ndarray
    is_first: np.ndarray
    day_start: np.ndarray

    def __len__(self) -> int:
        return len(self.user)


def make_visits(
    population: Population, days: int, truth: Truth, ads: list[Advertisement], rng: np.random.Generator
) -> Visits:
    """Draw all visits of a block. Visits never depend on orders, so that arms can be compared visit by visit."""
    day, user = visiting_days(population, days, truth, rng)
    is_first = population.arrival_ms[user] // DAY_MS == day
    start = np.where(is_first, population.arrival_ms[user], day * DAY_MS + times_of_day(rng.random(len(user))))
    channel = visit_channels(population.channel[user], is_first, truth, rng)
    return Visits(
        user=user,
        day=day,
        start_ms=start,
        channel=channel,
        advertisement=pick_advertisements(channel, ads, len(truth.channels), rng),
        is_first=is_first,
        day_start=np.searchsorted(day, np.arange(days + 1)),
    )


def visiting_days(
    population: Population, days: int, truth: Truth, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Walk the days once: levels move, the wave takes its share, visitors are drawn."""
    rates = np.array(truth.behaviour.visit_rates, dtype=np.float32)
    bounds = np.cumsum(truth.behaviour.level_moves, axis=1)[:, :-1].astype(np.float32)
    arrival_day = population.arrival_ms // DAY_MS
    level = population.level.copy()
    leaving_day = np.full(len(population), days)
    found = []
    for day in range(days):
        if day == truth.leaver_wave.first_day:
            leaving_day = leaving_days(population, level, arrival_day, truth, days)
        moved = (rng.random(len(level), dtype=np.float32)[:, None] >= bounds[level]).sum(axis=1)
        level = np.where(arrival_day < day, moved, level)
        level[leaving_day <= day] = DORMANT
        visits = (rng.random(len(level), dtype=np.float32) < rates[level]) & (arrival_day < day)
        found.append(np.flatnonzero(visits | (arrival_day == day)))
    return np.repeat(np.arange(days), [len(users) for users in found]), np.concatenate(found)


def leaving_days(
    population: Population, level: np.ndarray, arrival_day: np.ndarray, truth: Truth, days: int
) -> np.ndarray:
    """Choose the users of the wave, and the day of the week on which each one leaves."""
    wave = truth.leaver_wave
    at_risk = (level >= REGULAR) & population.is_thrifty & (arrival_day < wave.first_day)
    leaves = at_risk & (population.leave_draw < wave.share)
    place_in_week = population.leave_draw / max(wave.share, 1e-9) * wave.days
    return np.where(leaves, wave.first_day + place_in_week, days).astype(np.int64)


def visit_channels(own: np.ndarray, is_first: np.ndarray, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    """Bring the first visit through the acquisition channel, later ones through several."""
    names = [one.name for one in truth.channels]
    origin = draw_place(rng.random(len(own)), np.cumsum(LATER_ORIGINS))
    later = np.choose(origin, [names.index("direct"), own, names.index("email"), names.index("organic")])
    return np.where(is_first, own, later)


def pick_advertisements(
    channel: np.ndarray, ads: list[Advertisement], channel_count: int, rng: np.random.Generator
) -> np.ndarray:
    """Pick one placement of the visit's channel, -1 where the channel is not paid or unknown."""
    counts = np.bincount([ad.channel for ad in ads], minlength=channel_count + 1)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    picked = first[channel] + (rng.random(len(channel)) * counts[channel]).astype(np.int64)
    return np.where((channel >= 0) & (counts[channel] > 0), picked, UNKNOWN)
