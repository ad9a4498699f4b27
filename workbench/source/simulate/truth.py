"""The one place where every planted effect of the simulated shop stands, with its true size."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from workbench.source.simulate.placements import Content, Slot, planted_contents, planted_slots

CouponKind = Literal["full_reduction", "percentage", "new_customer", "free_order", "invitation"]
CouponTrigger = Literal["invited", "cart", "holdout", "centre", "arrival", "campaign", "lottery", "timing"]


@dataclass(frozen=True)
class AgeGroup:
    """How one age group differs: chance to add to the cart, chance to order what lies in it."""

    name: str
    cart_multiplier: float
    checkout_multiplier: float


@dataclass(frozen=True)
class Channel:
    """An acquisition channel: its size, its audience, and what it changes beyond its audience.

    ``share`` is of users who come by themselves; invited users make up ``referral``.
    ``age_shares`` follow the order of ``Truth.age_groups``. ``cost_per_click`` 0 means unpaid.
    """

    name: str
    share: float
    age_shares: tuple[float, float, float, float, float]
    checkout_multiplier: float = 1.0
    repeat_multiplier: float = 1.0
    cost_per_click: float = 0.0
    campaigns: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coupon:
    """A coupon campaign and what it does to the chance of ordering while it is valid.

    ``face_value`` is yuan, for ``percentage`` a fraction, for ``free_order`` the most it pays.
    ``repeat_multiplier`` scales all later orders of a user who has paid with the coupon.
    ``offer_rate`` is the chance that an eligible visit brings a grant.
    """

    coupon_id: str
    name: str
    kind: CouponKind
    trigger: CouponTrigger
    face_value: float
    min_spend: float
    valid_days: int
    cooldown_days: int
    offer_rate: float
    use_rate: float
    order_multiplier: float
    repeat_multiplier: float = 1.0
    story: str = ""


@dataclass(frozen=True)
class Experiment:
    """A randomised comparison. Inactive: users are assigned, but both arms get ``default_arm``."""

    experiment_id: str
    coupon_id: str
    treatment_share: float
    first_day: int
    default_arm: Literal[0, 1]
    is_active: bool = True


@dataclass(frozen=True)
class Timing:
    """Chance to pay a submitted order: with the coupon before payment, after it, and elsewhere."""

    pay_rate: float = 0.93
    control_pay_rate: float = 0.94
    treatment_pay_rate: float = 0.925


@dataclass(frozen=True)
class Invitation:
    """Friends an assigned user brings in the long run, and how long they take to come."""

    control_invitees: float = 0.30
    treatment_invitees: float = 0.42
    asked_rate: float = 0.45
    mean_delay_days: float = 9.0


@dataclass(frozen=True)
class LeaverWave:
    """Frequent users who spend little leave for good within one week (days count from 0)."""

    first_day: int = 63
    days: int = 7
    share: float = 0.55


@dataclass(frozen=True)
class SalesChange:
    """Days on which only the chance to order what lies in the cart is multiplied by ``factor``."""

    first_day: int = 98
    days: int = 7
    factor: float = 0.65


@dataclass(frozen=True)
class Behaviour:
    """Base rates: what an average user does before any planted effect."""

    visit_rates: tuple[float, float, float, float] = (0.005, 0.066, 0.187, 0.42)
    start_levels: tuple[float, float, float, float] = (0.12, 0.44, 0.30, 0.14)
    level_moves: tuple[tuple[float, float, float, float], ...] = (
        (0.991, 0.006, 0.002, 0.001),
        (0.022, 0.967, 0.009, 0.002),
        (0.007, 0.020, 0.966, 0.007),
        (0.003, 0.006, 0.020, 0.971),
    )
    detail_rate: float = 0.65
    cart_rate: float = 0.25
    browse_views: float = 0.30
    checkout_rate: float = 0.50
    reopened_cart_multiplier: float = 0.45
    repeat_multiplier: float = 0.60
    thrifty_share: float = 0.40
    thrifty_checkout_multiplier: float = 0.70


@dataclass(frozen=True)
class Truth:
    """Everything that is planted. Change a part with ``dataclasses.replace``."""

    age_groups: tuple[AgeGroup, ...]
    channels: tuple[Channel, ...]
    coupons: tuple[Coupon, ...]
    experiments: tuple[Experiment, ...]
    slots: tuple[Slot, ...]
    contents: tuple[Content, ...]
    timing: Timing = Timing()
    invitation: Invitation = Invitation()
    leaver_wave: LeaverWave = LeaverWave()
    sales_change: SalesChange = SalesChange()
    behaviour: Behaviour = Behaviour()

    @classmethod
    def default(cls) -> Truth:
        """Give the shop that the sample and the examples use."""
        return cls(AGE_GROUPS, CHANNELS, COUPONS, EXPERIMENTS, planted_slots(), planted_contents())

    def without_effects(self) -> Truth:
        """Give the same shop with every planted effect off: A/A arms, equal channels, slots, coupons."""
        return replace(
            self,
            age_groups=tuple(AgeGroup(group.name, 1.0, 1.0) for group in self.age_groups),
            channels=tuple(replace(one, checkout_multiplier=1.0, repeat_multiplier=1.0) for one in self.channels),
            coupons=tuple(replace(one, order_multiplier=1.0, repeat_multiplier=1.0) for one in self.coupons),
            experiments=tuple(replace(one, is_active=False) for one in self.experiments),
            slots=tuple(
                replace(one, detail_multiplier=1.0, cart_multiplier=1.0, checkout_multiplier=1.0) for one in self.slots
            ),
            leaver_wave=replace(self.leaver_wave, share=0.0),
            sales_change=replace(self.sales_change, factor=1.0),
        )

    def coupon_index(self, trigger: CouponTrigger) -> int:
        """Position of the coupon that is given out in this way."""
        return next(place for place, one in enumerate(self.coupons) if one.trigger == trigger)

    def to_dict(self) -> dict[str, Any]:
        """Give the parameters as plain lists and dictionaries, ready for JSON."""
        return asdict(self)


AGE_GROUPS = (
    AgeGroup("18-24", 1.45, 0.32),
    AgeGroup("25-34", 1.00, 1.00),
    AgeGroup("35-44", 0.95, 1.25),
    AgeGroup("45-54", 0.90, 1.20),
    AgeGroup("55+", 0.85, 1.05),
)

CHANNELS = (
    Channel(
        name="organic",
        share=0.26,
        age_shares=(0.18, 0.32, 0.26, 0.15, 0.09),
        checkout_multiplier=1.02,
        repeat_multiplier=1.10,
    ),
    Channel(
        name="paid_search",
        share=0.18,
        age_shares=(0.15, 0.33, 0.28, 0.16, 0.08),
        checkout_multiplier=1.05,
        repeat_multiplier=0.95,
        cost_per_click=1.60,
        campaigns=("brand", "category", "generic", "competitor"),
        keywords=("tea set", "running shoes", "snack box", "phone case", "face cream", "desk lamp"),
    ),
    Channel(
        name="social_video",
        share=0.25,
        age_shares=(0.74, 0.17, 0.05, 0.03, 0.01),
        checkout_multiplier=0.98,
        repeat_multiplier=0.85,
        cost_per_click=0.70,
        campaigns=("creator_a", "creator_b", "challenge"),
    ),
    Channel(
        name="app_store",
        share=0.13,
        age_shares=(0.26, 0.36, 0.22, 0.11, 0.05),
        checkout_multiplier=0.98,
        cost_per_click=1.10,
        campaigns=("store_search", "store_feature"),
    ),
    Channel(
        name="email",
        share=0.09,
        age_shares=(0.08, 0.26, 0.33, 0.22, 0.11),
        checkout_multiplier=1.06,
        repeat_multiplier=1.25,
        cost_per_click=0.08,
        campaigns=("newsletter", "win_back"),
    ),
    Channel(
        name="referral",
        share=0.0,
        age_shares=(0.28, 0.36, 0.22, 0.10, 0.04),
        checkout_multiplier=0.97,
        repeat_multiplier=0.80,
    ),
    Channel(
        name="direct",
        share=0.09,
        age_shares=(0.14, 0.30, 0.29, 0.17, 0.10),
        checkout_multiplier=1.03,
        repeat_multiplier=1.15,
    ),
)

COUPONS = (
    Coupon(
        coupon_id="c01",
        name="Invitation 邀请券",
        kind="invitation",
        trigger="invited",
        face_value=25.0,
        min_spend=39.0,
        valid_days=45,
        cooldown_days=0,
        offer_rate=1.0,
        use_rate=0.97,
        order_multiplier=2.6,
        repeat_multiplier=0.2,
        story="used often, its buyers rarely come back",
    ),
    Coupon(
        coupon_id="c02",
        name="Loyal gift 老客券",
        kind="full_reduction",
        trigger="cart",
        face_value=30.0,
        min_spend=99.0,
        valid_days=3,
        cooldown_days=21,
        offer_rate=0.75,
        use_rate=0.95,
        order_multiplier=1.02,
        story="pays people who would have bought anyway",
    ),
    Coupon(
        coupon_id="c03",
        name="Return boost 回流券",
        kind="full_reduction",
        trigger="holdout",
        face_value=18.0,
        min_spend=89.0,
        valid_days=10,
        cooldown_days=16,
        offer_rate=1.0,
        use_rate=0.85,
        order_multiplier=1.7,
        story="really adds sales; has the randomised holdout",
    ),
    Coupon(
        coupon_id="c04",
        name="Coupon centre 领券中心",
        kind="full_reduction",
        trigger="centre",
        face_value=20.0,
        min_spend=109.0,
        valid_days=14,
        cooldown_days=28,
        offer_rate=0.15,
        use_rate=0.85,
        order_multiplier=1.0,
        story="collected by those who buy anyway; true effect zero",
    ),
    Coupon(
        coupon_id="c05",
        name="Newcomer 新人券",
        kind="new_customer",
        trigger="arrival",
        face_value=15.0,
        min_spend=59.0,
        valid_days=7,
        cooldown_days=0,
        offer_rate=1.0,
        use_rate=0.9,
        order_multiplier=1.2,
    ),
    Coupon(
        coupon_id="c06",
        name="Festival 10% 九折券",
        kind="percentage",
        trigger="campaign",
        face_value=0.1,
        min_spend=129.0,
        valid_days=7,
        cooldown_days=7,
        offer_rate=0.6,
        use_rate=0.85,
        order_multiplier=1.1,
    ),
    Coupon(
        coupon_id="c07",
        name="Free order 免单券",
        kind="free_order",
        trigger="lottery",
        face_value=80.0,
        min_spend=0.0,
        valid_days=21,
        cooldown_days=30,
        offer_rate=0.03,
        use_rate=0.97,
        order_multiplier=1.8,
        story="pays whole small orders",
    ),
    Coupon(
        coupon_id="c08",
        name="Checkout 支付礼券",
        kind="full_reduction",
        trigger="timing",
        face_value=15.0,
        min_spend=49.0,
        valid_days=21,
        cooldown_days=0,
        offer_rate=1.0,
        use_rate=0.92,
        order_multiplier=2.6,
        story="given before or after payment",
    ),
)

EXPERIMENTS = (
    Experiment("holdout_c03", coupon_id="c03", treatment_share=0.9, first_day=15, default_arm=1),
    Experiment("coupon_timing", coupon_id="c08", treatment_share=0.5, first_day=15, default_arm=0),
    Experiment("invitation_reward", coupon_id="c01", treatment_share=0.5, first_day=0, default_arm=1),
)
# Positions in the list above, and columns of every array of arms.
HOLDOUT, TIMING, INVITATION = 0, 1, 2
